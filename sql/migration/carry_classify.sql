-- Whose each row of the batch is, who takes it where nobody owns it, and whether the time of one that is gone lies in an
-- attached partition, or in one that retention has taken out and not dropped.
-- identifiers: id
-- fragments: owners, adopters
-- literals: target_name, parent
with bounds as materialized (
    select p.lower, p.upper
    from maintenance.partition as p
    where p.parent_oid = {target_name}::regclass and not p.is_pending_detach
    union all
    select o.lower, o.upper
    from maintenance.retirement as o
    inner join pg_catalog.pg_class as c on o.partition_oid = c.oid
    where o.parent = {parent} and o.state in ('detaching', 'detached', 'archiving', 'archived')
)

select
    r.key,
    r.at::text as event_time,
    (r.u).{id} is not null as is_present,
    case when (r.u).{id} is not null then case {owners} end end as owner,
    case when (r.u).{id} is null then null {adopters} end as adopter,
    (r.u).{id} is not null or exists (
        select from bounds as b where (b.lower is null or b.lower <= r.at) and (b.upper is null or r.at < b.upper)
    ) as is_attached
from pg_temp.maintenance_carried as r
