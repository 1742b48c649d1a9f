-- An index definition as text that stays the same when an index is built from it. The server writes the predicate x in ('a', 'b')
-- on a varchar column as (ARRAY['a'::character varying, …])::text[]; read back, each element is cast for itself, and written so from
-- then on. Compared as text, a partition's index built from its parent's definition was never found to be like it.
create or replace function maintenance.index_definition(index_oid oid) returns text
language plpgsql stable
set search_path = pg_catalog
as $$
declare
    definition text;
    found text[];
begin
    select case when i.indisunique then 'unique ' else '' end || substr(
        pg_get_indexdef(i.indexrelid),
        length(format(
            'CREATE %sINDEX %I ON %s%I.%I ',
            case when i.indisunique then 'UNIQUE ' end,
            x.relname,
            case when t.relkind = 'p' then 'ONLY ' end,
            n.nspname,
            t.relname
        )) + 1
    )
    into definition
    from pg_index as i
    inner join pg_class as x on i.indexrelid = x.oid
    inner join pg_class as t on i.indrelid = t.oid
    inner join pg_namespace as n on t.relnamespace = n.oid
    where i.indexrelid = index_oid;
    if position('(ARRAY[' in definition) = 0 then
        return definition;
    end if;
    loop
        found := regexp_match(definition, '(\(ARRAY\[([^][()]*)\]\)::([a-z ]+)\[\])');
        exit when found is null;
        definition := replace(
            definition,
            found[1],
            'ARRAY[' || regexp_replace(found[2], '(''(?:[^'']|'''')*''::[a-z ]+)', '(\1)::' || found[3], 'g') || ']'
        );
    end loop;
    return definition;
end
$$;
