-- Name one source's rows of one unit that the mapping refuses and that do not stand so in quarantine.
-- identifiers: legacy, key, forward, time
-- literals: source_id, span_from, span_to, zone, limit
-- fragments: legacy_within
-- locks: ACCESS SHARE on legacy
select
    'unquarantined' as kind,
    count(*) over () as kind_rows,
    l.{key}::text as key,
    null as target_key,
    maintenance.source_instant(l.{time}, {zone})::text as event_time,
    f.reason,
    maintenance.bounded_json(to_jsonb(l))::text as expected,
    maintenance.bounded_json(jsonb_build_object('reason', q.reason, 'row', q.legacy_row))::text as found
from {legacy} as l
cross join lateral {forward}(l, {span_from}, {span_to}) as f
left join maintenance.quarantine as q on q.source_id = {source_id} and q.key = l.{key}::text
where
    {legacy_within} and f.reason is not null
    and (q.key is null or (q.target_key is null and (q.reason <> f.reason or q.legacy_row <> to_jsonb(l))))
    and l.{key}::text not in (select c.key from maintenance.capture as c where c.source_id = {source_id})
order by l.{key}
limit {limit}
