-- The columns of a partition and, as SQL, how each is exported, hashed and described (design 10, §4.8).
-- What Arrow holds exactly leaves as it is, everything else as text, and what leaves as text is hashed as text: equality is looser
-- than identity there (0 = -0, '1 day' = '24 hours', 1.0 = 1.00), and the hash of a numeric's value knows neither sign nor
-- infinity. Manifests of format 1 hashed numeric by value all the same.
-- A NaN may bear a sign, which PostgreSQL's arithmetic leaves there and nobody can see: all NaN are hashed alike.
-- A time is beyond where it is infinite or its year is one that readers of Parquet cannot hold.
-- A type reads back what it writes where it is PostgreSQL's own or an enum; others, and domains with their checks, may not.
-- params: oid, by_value
select
    c.name,
    c.type,
    c.kind,
    e.export,
    case c.kind when 'time' then format('case when not %%s then %%s end', e.beyond, c.ref) else e.export end as finite,
    case c.kind when 'time' then format('case when %%s then %%s::text end', e.beyond, c.ref) end as beyond,
    e.element,
    format('sum(hash_record_extended(row(%%s), 0)::numeric)::text', e.element) as hash,
    format(
        'array[count(%%s)::text, %%s, %%s, %%s, %%s]',
        c.ref,
        e.extremes[1],
        e.extremes[2],
        case c.kind when 'numeric' then format('sum(scale(%%s))::text', c.ref) else 'null' end,
        case c.kind when 'time' then format('(count(*) filter (where %%s))::text', e.beyond) else '''0''' end
    ) as figures,
    c.reads_back
from (
    select
        a.attnum as place,
        a.attname::text as name,
        pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
        case a.atttypid
            when 'bool'::regtype then 'bool'
            when 'int2'::regtype then 'int'
            when 'int4'::regtype then 'int'
            when 'int8'::regtype then 'int'
            when 'float4'::regtype then 'float'
            when 'float8'::regtype then 'float'
            when 'text'::regtype then 'text'
            when 'varchar'::regtype then 'text'
            when 'bpchar'::regtype then 'text'
            when 'uuid'::regtype then 'uuid'
            when 'bytea'::regtype then 'bytes'
            when 'timestamptz'::regtype then 'time'
            when 'timestamp'::regtype then 'time'
            when 'date'::regtype then 'time'
            when 'numeric'::regtype then 'numeric'
            else 'other'
        end as kind,
        case a.atttypid when 'float4'::regtype then 'float4send' else 'float8send' end as send,
        format('r.%%I', a.attname) as ref,
        t.typtype = 'e' or e.typtype = 'e' or (
            t.typnamespace = 'pg_catalog'::regnamespace
            and t.typname not in ('xml', 'pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list')
        ) as reads_back
    from pg_catalog.pg_attribute as a
    inner join pg_catalog.pg_type as t on a.atttypid = t.oid
    left join pg_catalog.pg_type as e on t.typelem = e.oid and t.typcategory = 'A'
    where a.attrelid = %(oid)s and a.attnum > 0 and not a.attisdropped
) as c
cross join lateral (
    select
        case when c.kind in ('numeric', 'other') then c.ref || '::text' else c.ref end as export,
        case c.kind
            when 'float' then format(
                'case when %%2$s = ''NaN'' then pg_catalog.%%1$s(''NaN'') else pg_catalog.%%1$s(%%2$s) end', c.send, c.ref
            )
            when 'text' then c.ref || ' collate "C"'
            when 'other' then c.ref || '::text'
            when 'numeric' then c.ref || case when %(by_value)s then '' else '::text' end
            else c.ref
        end as element,
        format('(%%s < ''0001-01-01'' or %%s >= ''10000-01-01'')', c.ref, c.ref) as beyond,
        case
            when c.kind = 'bool' then array[format('bool_and(%%s)::text', c.ref), format('bool_or(%%s)::text', c.ref)]
            when c.kind = 'text' then array[
                format('left(min(%%s collate "C"), 200)', c.ref), format('left(max(%%s collate "C"), 200)', c.ref)
            ]
            when c.kind = 'uuid' then array[
                format('min(%%s::text collate "C")', c.ref), format('max(%%s::text collate "C")', c.ref)
            ]
            when c.kind in ('bytes', 'other') then array['null', 'null']
            else array[format('min(%%s)::text', c.ref), format('max(%%s)::text', c.ref)]
        end as extremes
) as e
order by c.place
