-- The active jobs of pg_cron in this database, each with the bodies of the functions that it calls.
-- identifiers: relation
select
    j.jobid,
    j.schedule,
    left(j.command, 400) as command,
    (
        select coalesce(string_agg(p.prosrc, E'\n' order by p.oid), '')
        from regexp_matches(lower(j.command), '(?:(\w+)"?\.)?"?(\w+)"?\s*\(', 'g') as m (names)
        inner join pg_catalog.pg_proc as p on m.names[2] = p.proname
        inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
        where n.nspname = coalesce(m.names[1], n.nspname) and n.nspname <> 'pg_catalog'
    ) as called
from {relation} as j
where j.active and j.database = current_database()
order by j.jobid
