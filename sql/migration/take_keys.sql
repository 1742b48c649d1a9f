-- Take a batch of captured keys out of the log, in order, leaving those whose old or present time lies in the span where no
-- partition is attached yet. The one row says what was looked at and taken, and holds as texts of arrays: every key taken, and
-- pairs of key and time for each time at which the target may hold it, with the first of these times. Log and legacy rows are
-- read in one snapshot: a later change of a row has a log entry that is not seen here.
-- identifiers: legacy, key, time
-- fragments: key_type
-- params: source_id, after, limit, zone, span_from, span_to, attached
-- locks: ROW EXCLUSIVE on the log, ACCESS SHARE on legacy
with looked_at as materialized (
    select c.ctid as place, c.seq, c.key, c.old_time
    from maintenance.capture as c
    where c.source_id = %(source_id)s and c.seq > %(after)s
    order by c.seq
    limit %(limit)s
),

timed as materialized (
    select
        t.*,
        maintenance.source_instant(l.{time}, %(zone)s) as present,
        tstzmultirange(tstzrange(%(span_from)s, %(span_to)s)) - %(attached)s::tstzmultirange as waiting
    from looked_at as t
    left join {legacy} as l on t.key::{key_type} = l.{key}
),

judged as materialized (
    select
        t.*,
        coalesce(t.old_time <@ t.waiting, false) or coalesce(t.present <@ t.waiting, false) as is_waiting
    from timed as t
),

taken as (
    delete from maintenance.capture
    where ctid = any(array(select j.place from judged as j where not j.is_waiting))
),

pairs as (
    select j.key, j.old_time as instant from judged as j where not j.is_waiting and j.old_time <@ %(attached)s::tstzmultirange
    union
    select j.key, j.present as instant from judged as j where not j.is_waiting and j.present <@ %(attached)s::tstzmultirange
)

select
    s.*,
    coalesce(p.keys, '{{}}') as pair_keys,
    coalesce(p.instants, '{{}}') as pair_instants,
    p.first_instant
from (
    select
        count(*) as looked_at,
        count(*) filter (where not j.is_waiting) as taken,
        max(j.seq) as last_seq,
        coalesce(array_agg(distinct j.key) filter (where not j.is_waiting), '{{}}')::text as keys
    from judged as j
) as s
cross join (
    select
        array_agg(o.key)::text as keys,
        array_agg(o.instant)::text as instants,
        min(o.instant)::text as first_instant
    from (select * from pairs order by pairs.instant) as o
) as p
