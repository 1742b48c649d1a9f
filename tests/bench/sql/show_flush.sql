-- Whether the server waits for its disk.
select current_setting('fsync')
