-- Every partition with its bounds and whether it is as the parent asks: attached, owned, closed, indexed, without a gap before
-- it. A gap that retention made, or whose partition the backfill has registered and not finished, is none; nor is one of a
-- table (a migration knows none of these) that is wholly past its retention: creation never fills it.
-- params: declared
with d as (
    select maintenance.declared_relation(%(declared)s::jsonb -> 'target') as target_oid, %(declared)s::jsonb as facts
),

ordered as (
    select p.*, lag(p.upper) over (order by p.lower) as reached
    from d
    inner join maintenance.partition as p on d.target_oid = p.parent_oid
    where not p.is_default and not p.is_pending_detach
),

excused as (
    select r.lower, r.upper
    from maintenance.retirement as r
    where r.parent = (select d.facts -> 'target' ->> 'relation' from d) and r.state not in ('due', 'returned')
    union all
    select u.lower, u.upper
    from maintenance.unit as u
    where u.target = (select d.facts -> 'target' ->> 'relation' from d) and u.kind = 'aside' and u.state <> 'done'
    union all
    select
        '-infinity' as lower,
        (d.facts ->> 'as_of')::timestamptz
        - make_interval(secs => (d.facts -> 'target' ->> 'keep_s')::double precision) as upper
    from d
    where d.facts ->> 'migration' is null and d.facts -> 'target' ->> 'keep_s' is not null
),

gaps as (
    select
        o.relation_oid,
        o.reached as lower,
        o.lower as upper,
        tstzmultirange(tstzrange(o.reached, o.lower)) - coalesce((
            select range_agg(tstzrange(e.lower, e.upper)) from excused as e
        ), '{{}}') as left_open
    from ordered as o
    where o.reached < o.lower
)

select
    n.nspname || '.' || c.relname as partition,
    p.lower,
    p.upper,
    p.is_pending_detach,
    p.is_default,
    pg_get_userbyid(c.relowner)::text as owner,
    c.relowner = t.relowner as has_owner_of_parent,
    c.relrowsecurity or not t.relrowsecurity as is_closed,
    g.relation_oid is null as follows_without_gap,
    g.lower as gap_from,
    g.upper as gap_to,
    (
        select string_agg(x.relname, ', ' order by x.relname)
        from pg_catalog.pg_index as i
        inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
        where
            i.indrelid = t.oid and not exists (
                select
                from pg_catalog.pg_inherits as h
                inner join pg_catalog.pg_index as o on h.inhrelid = o.indexrelid
                where h.inhparent = i.indexrelid and o.indrelid = c.oid and o.indisvalid
            )
    ) as lacking_indexes
from d
inner join pg_catalog.pg_class as t on d.target_oid = t.oid
inner join maintenance.partition as p on t.oid = p.parent_oid
inner join pg_catalog.pg_class as c on p.relation_oid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
left join gaps as g on c.oid = g.relation_oid and not isempty(g.left_open)
order by p.lower nulls first, partition
