-- The rows that the newest comparison named, the first of each kind, with what was expected and what was found (M7).
-- params: declared
select
    d.kind,
    s.relation as source,
    d.key,
    d.target_key,
    d.event_time::text as event_time,
    d.reason,
    (
        select string_agg(
            e.key || ': expected ' || e.value::text || ', found ' || coalesce((d.found -> e.key)::text, 'nothing'), '; ' order by e.key
        )
        from jsonb_each(case when d.kind = 'unequal' then d.expected end) as e
        where d.found -> e.key is distinct from e.value
    ) as unequal_columns
from maintenance.comparison_difference as d
left join maintenance.source as s on d.source_id = s.id
where
    d.comparison_id = (
        select max(c.id) from maintenance.comparison as c
        where c.migration = %(declared)s::jsonb ->> 'migration' and not c.is_partial
    )
order by d.id
