-- Each right on the target that the declaration gives at cutover, and whether the role has it (M3).
-- params: declared
select
    w.role,
    w.privilege,
    r.oid is not null as role_exists,
    coalesce(has_table_privilege(r.oid, maintenance.declared_relation(d.facts -> 'target'), w.privilege), false) as is_granted
from (select %(declared)s::jsonb as facts) as d
cross join lateral jsonb_to_recordset(d.facts -> 'grants') as w (role text, privilege text)
left join pg_catalog.pg_roles as r on w.role = r.rolname
order by w.role, w.privilege
