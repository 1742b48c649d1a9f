-- Quarantine by source and reason, with a few of the rows.
-- params: migration, examples
select r.relation as source, r.reason, r.rows, r.examples
from (
    select
        s.relation, s.position, q.reason, count(*) as rows,
        (array_agg(jsonb_build_object('key', q.key, 'event_time', q.event_time, 'row', q.legacy_row) order by q.key))[:%(examples)s]
            as examples
    from maintenance.quarantine as q
    inner join maintenance.source as s on q.source_id = s.id
    where s.migration = %(migration)s
    group by s.relation, s.position, q.reason
) as r
order by r.position, r.rows desc
