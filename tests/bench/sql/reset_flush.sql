-- Let the server wait for its disk again, as it was started.
-- transaction: none
alter system reset fsync
