-- Bring the ledger of a table's retirements to what the catalog says: a run may have died between its act and its record.
-- params: parent, parent_oid, as_of
update maintenance.retirement as r
set
    state = found.state,
    detached_at = case
        when found.state = 'detached' then greatest(%(as_of)s::timestamptz, clock_timestamp() - interval '1 hour')
        else r.detached_at
    end,
    note = case
        when found.state = 'dropped' then 'its table was found gone'
        when found.state = 'returned' then 'found attached again'
        else r.note
    end,
    changed_at = clock_timestamp()
from (
    select
        o.id,
        case
            when c.oid is null then 'dropped'
            when i.inhrelid is null and o.state in ('due', 'detaching') then 'detached'
            when i.inhrelid is not null and not i.inhdetachpending and o.state in ('detached', 'archiving', 'archived')
                then 'returned'
            when i.inhrelid is not null and not i.inhdetachpending then 'due'
            else o.state
        end as state
    from maintenance.retirement as o
    left join pg_catalog.pg_class as c on o.partition_oid = c.oid
    left join pg_catalog.pg_inherits as i on o.partition_oid = i.inhrelid and i.inhparent = %(parent_oid)s
    where o.parent = %(parent)s and o.state not in ('dropped', 'returned')
) as found
where r.id = found.id and r.state <> found.state
returning r.id, r.partition, r.state
