"""The schema of a database as rows, so that a test can say: nothing of it has changed.

Belongs here: what pg_dump would print, read from the catalog on any version, without object ids.
Keep out: rows of tables.
"""

from __future__ import annotations

from typing import Any

import psycopg

#: Everything beside the ledger's own rows; schemas of the server are left out.
_DESCRIBE = r"""
with kept as (
    select c.oid, c.relnamespace, c.relname, c.relkind, c.relowner, c.relacl, c.reloptions, c.relrowsecurity
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
)
select 'relation', k.oid::regclass::text, concat_ws(' ', k.relkind, k.relowner::regrole, k.relrowsecurity, k.reloptions,
    (select string_agg(concat_ws('/', g.grantee::regrole, g.privilege_type, g.is_grantable), ',' order by 1) from aclexplode(k.relacl) g))
from kept k
union all
select 'column', k.oid::regclass::text, concat_ws(' ', a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    pg_get_expr(d.adbin, d.adrelid), a.attacl)
from kept k join pg_attribute a on a.attrelid = k.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where k.relkind in ('r', 'p', 'v', 'm')
union all
select 'definition', k.oid::regclass::text, pg_get_viewdef(k.oid) from kept k where k.relkind in ('v', 'm')
union all
select 'constraint', c.conrelid::regclass::text, c.conname || ' ' || pg_get_constraintdef(c.oid)
from pg_constraint c join kept k on k.oid = c.conrelid
union all
select 'trigger', t.tgrelid::regclass::text, concat_ws(' ', t.tgenabled, pg_get_triggerdef(t.oid))
from pg_trigger t join kept k on k.oid = t.tgrelid where not t.tgisinternal
union all
select 'policy', p.polrelid::regclass::text, concat_ws(' ', p.polname, p.polcmd, pg_get_expr(p.polqual, p.polrelid)) from pg_policy p
union all
select 'sequence', k.oid::regclass::text, (
    select string_agg(concat_ws('.', d.refobjid::regclass, d.refobjsubid, d.deptype), ',') from pg_depend d
    where d.classid = 'pg_class'::regclass and d.objid = k.oid and d.deptype in ('a', 'i')
) from kept k where k.relkind = 'S'
union all
select 'function', p.oid::regprocedure::text, concat_ws(' ', md5(pg_get_functiondef(p.oid)), p.proacl, p.proowner::regrole)
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and p.prokind in ('f', 'p')
union all
select 'schema', n.nspname, concat_ws(' ', n.nspowner::regrole, n.nspacl) from pg_namespace n where n.nspname !~ '^pg_'
order by 1, 2, 3
"""


def describe(conn: psycopg.Connection[Any], *, without: str = "") -> list[tuple[str, str, str]]:
    """Return every object of the database with its definition; those of the schema `without` are left out."""
    rows = conn.execute(_DESCRIBE).fetchall()
    return [row for row in rows if not (without and (row[1] == without or row[1].startswith(f"{without}.")))]
