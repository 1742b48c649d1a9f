-- What a migration has in the schema maintenance: functions of its mappings, of whatever version, and units, with the tables
-- that were loaded and never attached.
-- params: migration
select
    (
        select coalesce(array_agg(distinct p.proname::text order by p.proname::text), '{{}}')
        from maintenance.source as s
        inner join pg_catalog.pg_proc as p
            on p.pronamespace = 'maintenance'::regnamespace and p.proname ~ format('_%%s_(forward|backward|owns)_[0-9a-f]{{8}}$', s.code)
        cross join lateral (
            select regexp_replace(p.proname, format('_%%s_(forward|backward|owns)_[0-9a-f]{{8}}$', s.code), '') as start
        ) as n
        -- A long name was cut to what a name of the server can hold.
        where
            s.migration = %(migration)s
            and (n.start = s.migration or (octet_length(p.proname) >= 60 and starts_with(s.migration, n.start)))
    ) as functions,
    (
        select count(*) from maintenance.source as s
        where s.migration = %(migration)s and to_regproc('maintenance.' || quote_ident(s.owns)) is null
    ) as owners_missing,
    (select count(*) from maintenance.unit as u where u.migration = %(migration)s) as units,
    (
        select coalesce(array_agg(u.partition order by u.id), '{{}}')
        from maintenance.unit as u
        where u.migration = %(migration)s and u.state = 'loaded' and u.partition is not null
    ) as loaded
