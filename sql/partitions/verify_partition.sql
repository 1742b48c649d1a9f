-- What became of a partition in this transaction: bounds, owner, who may touch it, and indexes of the parent that it lacks.
-- params: parent, schema, name
select
    p.lower,
    p.upper,
    pg_catalog.pg_get_userbyid(c.relowner)::text as owner,
    c.relrowsecurity as has_rls,
    (select count(*) from pg_catalog.pg_policy as y where y.polrelid = c.oid) as policies,
    array(
        select distinct case g.grantee when 0 then 'public' else g.grantee::regrole::text end
        from aclexplode(c.relacl) as g
        where g.grantee <> c.relowner
    ) as grantees,
    array(
        select x.relname::text
        from pg_catalog.pg_index as i
        inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
        where
            i.indrelid = p.parent_oid and not exists (
                select
                from pg_catalog.pg_inherits as h
                inner join pg_catalog.pg_index as o on h.inhrelid = o.indexrelid
                where h.inhparent = i.indexrelid and o.indrelid = c.oid and o.indisvalid
            )
    ) as lacking_indexes
from maintenance.partition as p
inner join pg_catalog.pg_class as c on p.relation_oid = c.oid
where p.parent_oid = %(parent)s and p.schema = %(schema)s and p.name = %(name)s
