-- The first row from a place on whose metadata is outside the standard shape: the one that refused to be repaired.
-- identifiers: part, column
-- params: lower, upper, key
-- locks: ROW SHARE on part, and the row
select
    t.ctid::text as place,
    coalesce((
        select string_agg(k.name || '=' || left(to_jsonb(t) ->> k.name, 60), ', ' order by k.number)
        from unnest(%(key)s::text[]) with ordinality as k (name, number)
    ), 'ctid=' || t.ctid::text) as row
from only {part} as t
where t.ctid > %(lower)s::tid and t.ctid < %(upper)s::tid and maintenance.metadata_fault(t.{column}) is not null
order by t.ctid limit 1
for no key update skip locked
