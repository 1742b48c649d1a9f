-- Put keys into the capture log by hand.
-- params: source_id, keys
insert into maintenance.capture (source_id, key)
select %(source_id)s, k.key from unnest(%(keys)s::text[]) as k (key)
