-- The partitions of a table as places for an index, and why one is left alone: it is on its way out.
-- params: parent
select
    p.schema,
    p.name,
    p.is_leaf,
    case
        when p.is_pending_detach then 'its detach is pending; enforce_retention finishes it'
        when r.id is not null then format('retention is taking it out (%%s)', r.state)
    end as left_alone
from maintenance.partition as p
left join maintenance.retirement as r on p.relation_oid = r.partition_oid and r.state not in ('dropped', 'returned')
where p.parent_oid = %(parent)s
order by p.is_default, p.lower nulls first, p.name
