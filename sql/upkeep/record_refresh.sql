-- Keep what a refresh cost, in the transaction that did it; or why it failed.
-- params: matview, refreshed_at, is_concurrent, seconds, rows_after, size_bytes, error
insert into maintenance.matview_refresh (matview, refreshed_at, is_concurrent, seconds, rows_after, size_bytes, error)
values (%(matview)s, %(refreshed_at)s, %(is_concurrent)s, %(seconds)s, %(rows_after)s, %(size_bytes)s, %(error)s)
