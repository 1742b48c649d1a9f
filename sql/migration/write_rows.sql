-- Map the legacy rows of the keys as they are now into the target, or into quarantine with the reason; return what was done.
-- A row that has meanwhile moved to a time without a partition is passed over: that change is still in the log.
-- unwritten names accepted rows whose place in the target another row holds. In order of time one partition is open at a time.
-- identifiers: target, id, time, legacy, key, legacy_time, forward
-- fragments: key_type, columns, mapped
-- params: source_id, keys, zone, span_from, span_to, attached
-- locks: ROW EXCLUSIVE on target and the partitions written, ACCESS SHARE on legacy
with mapped as materialized (
    select l.{key} as maintenance_key, m.*
    from unnest(%(keys)s::text[]::{key_type}[]) as k (key)
    inner join {legacy} as l on k.key = l.{key}
    cross join lateral {forward}(l, %(span_from)s, %(span_to)s) as m
    where
        coalesce(
            not maintenance.source_instant(l.{legacy_time}, %(zone)s)
            <@ (tstzmultirange(tstzrange(%(span_from)s, %(span_to)s)) - %(attached)s::tstzmultirange),
            true
        )
),

refused as (
    insert into maintenance.quarantine as q (source_id, key, event_time, reason, legacy_row)
    select %(source_id)s, l.{key}::text, maintenance.source_instant(l.{legacy_time}, %(zone)s), m.reason, to_jsonb(l)
    from mapped as m
    inner join {legacy} as l on m.maintenance_key = l.{key}
    where m.reason is not null
    on conflict (source_id, key) do update
    set
        event_time = excluded.event_time,
        target_key = null,
        reason = excluded.reason,
        legacy_row = excluded.legacy_row,
        quarantined_at = clock_timestamp()
    returning 1
),

written as (
    insert into {target} as u ({columns})
    overriding system value
    select {mapped} from mapped as m where m.reason is null order by m.{time}
    on conflict do nothing
    returning u.{id}, u.{time}
)

select
    (select count(*) from written) as written,
    (select count(*) from refused) as refused,
    case
        when (select count(*) from written) < (select count(*) from mapped as m where m.reason is null)
            then array(
                select m.maintenance_key::text
                from mapped as m
                where m.reason is null and (m.{id}, m.{time}) not in (select w.{id}, w.{time} from written as w)
            )
        else '{{}}'
    end as unwritten
