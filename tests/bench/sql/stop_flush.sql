-- Let the server not wait for its disk.
-- transaction: none
alter system set fsync = off
