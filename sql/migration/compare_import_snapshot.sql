-- See what the exporting session sees; the first statement of the transaction.
-- literals: snapshot
set transaction snapshot {snapshot}
