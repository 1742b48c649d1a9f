-- A few rows of one kind: their keys, cut, and what their metadata consists of without any of its values.
-- identifiers: part, column
-- params: kind, key, limit
-- locks: ACCESS SHARE on part
select
    coalesce((
        select string_agg(k.name || '=' || left(to_jsonb(t) ->> k.name, 60), ', ' order by k.number)
        from unnest(%(key)s::text[]) with ordinality as k (name, number)
    ), 'ctid=' || t.ctid::text) as row,
    maintenance.metadata_outline(t.{column}) as outline
from only {part} as t
where
    coalesce(
        maintenance.metadata_fault(t.{column}),
        case when maintenance.is_metadata_twice(t.{column}) then 'shape in the shape' end
    ) = %(kind)s
limit %(limit)s
