-- Begin the transaction in which the streaming session reads the snapshot that another session has exported.
begin isolation level repeatable read read only
