-- Metadata in its one shape {"version": "1.0", "schema": "standard", "fields": {…}}: what is wrong with a value, the value as it
-- is repaired, and the record of repairs (D6). Pure, never raising, one expression each, so that the planner inlines them.
-- EXECUTE stays with PUBLIC; a caller learns nothing that its own argument does not say.

-- The order is that of the kinds in docs/flows/repair_metadata.md: the first that holds is the answer.
create function maintenance.metadata_fault(metadata jsonb) returns text
language sql immutable parallel safe
return case
    when metadata = '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb then null
    when metadata is null then 'null'
    when jsonb_typeof(metadata) <> 'object' then 'not an object'
    when not metadata ?| '{version,schema,fields}'::text[] then 'no part of the shape'
    when not metadata ? 'version' then 'version missing'
    when metadata -> 'version' <> '"1.0"'::jsonb then 'version unknown'
    when not metadata ? 'schema' then 'schema missing'
    when metadata -> 'schema' <> '"standard"'::jsonb then 'schema unknown'
    when not metadata ? 'fields' then 'fields missing'
    when jsonb_typeof(metadata -> 'fields') <> 'object' then 'fields not an object'
    when metadata -> 'wrapped' <> 'true'::jsonb then 'wrapped not true'
    when jsonb_typeof(metadata -> 'legacy') <> 'object' then 'legacy not an object'
    when metadata - '{version,schema,fields,wrapped,legacy}'::text[] <> '{}'::jsonb then 'unknown keys'
end;
comment on function maintenance.metadata_fault(jsonb) is
'Why a value is not metadata in the standard shape, the first reason that holds; NULL for one that is.';

create function maintenance.is_metadata_twice(metadata jsonb) returns boolean
language sql immutable parallel safe
return coalesce(
    metadata -> 'fields' @> '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
    and maintenance.metadata_fault(metadata) is null
    and maintenance.metadata_fault(metadata -> 'fields') is null, false
);
comment on function maintenance.is_metadata_twice(jsonb) is
'Whether metadata in the standard shape holds nothing in fields but the standard shape once more.';

-- Whether what stands beside fields can be understood: then only what is missing or in the wrong place is put right.
-- "wrapped" speaks of fields.value alone, so it allows nothing that would have to move into fields.
create function maintenance.is_metadata_known(metadata jsonb) returns boolean
language sql immutable parallel safe
return coalesce(metadata -> 'version' = '"1.0"'::jsonb, true)
    and coalesce(metadata -> 'schema' = '"standard"'::jsonb, true)
    and coalesce(jsonb_typeof(metadata -> 'legacy') = 'object', true)
    and case when metadata ? 'wrapped' then coalesce(
        metadata -> 'wrapped' = 'true'::jsonb
        and jsonb_typeof(metadata -> 'fields') = 'object'
        and metadata -> 'fields' ? 'value'
        and metadata - '{version,schema,fields,wrapped,legacy}'::text[] = '{}'::jsonb, false
    ) else true end;
comment on function maintenance.is_metadata_known(jsonb) is
'Whether the keys of an object that standard metadata also has mean the same as there.';

-- Two objects are merged only where no key of both would lose a value: then the order of merging makes no difference.
create function maintenance.repaired_fields(metadata jsonb, beside jsonb) returns jsonb
language sql immutable parallel safe
return case
    when not metadata ? 'fields' then beside
    when jsonb_typeof(metadata -> 'fields') = 'object' then case
        when beside || (metadata -> 'fields') = (metadata -> 'fields') || beside then (metadata -> 'fields') || beside
    end
    when beside = '{}'::jsonb then jsonb_set('{"value": null}', '{value}', metadata -> 'fields')
end;
comment on function maintenance.repaired_fields(jsonb, jsonb) is
'Fields with what stood beside them moved in, or their value where they were no object; NULL where that would lose something.';

create function maintenance.repaired_metadata(metadata jsonb) returns jsonb
language sql immutable parallel safe
return case
    when maintenance.metadata_fault(metadata) is null then metadata
    when metadata is null or jsonb_typeof(metadata) <> 'object' or not metadata ?| '{version,schema,fields}'::text[]
        then maintenance.standard_metadata(metadata)
    when not maintenance.is_metadata_known(metadata) then maintenance.standard_metadata(metadata)
    else coalesce(
        jsonb_set(
            '{"version": "1.0", "schema": "standard", "fields": null}', '{fields}',
            maintenance.repaired_fields(metadata, metadata - '{version,schema,fields,wrapped,legacy}'::text[])
        )
        || case when metadata ? 'wrapped' or jsonb_typeof(metadata -> 'fields') <> 'object'
            then '{"wrapped": true}'::jsonb else '{}'::jsonb end
        || case when metadata ? 'legacy'
            then jsonb_set('{"legacy": null}', '{legacy}', metadata -> 'legacy') else '{}'::jsonb end,
        maintenance.standard_metadata(metadata)
    )
end;
comment on function maintenance.repaired_metadata(jsonb) is
'The value in the standard shape with everything that it held: what is missing added, what stands beside fields moved in, and where that is not possible the whole value inside fields.';

create function maintenance.metadata_outline(metadata jsonb) returns text
language sql immutable parallel safe
return case jsonb_typeof(metadata)
    when 'object' then (
        select coalesce(string_agg(left(k.key, 40) || ': ' || jsonb_typeof(k.value), ', ' order by k.number), 'no key')
        from jsonb_each(metadata) with ordinality as k (key, value, number)
        where k.number <= 8
    ) || case when (select count(*) from jsonb_object_keys(metadata)) > 8 then ', …' else '' end
    else coalesce(jsonb_typeof(metadata), 'null')
end;
comment on function maintenance.metadata_outline(jsonb) is 'Keys and kinds of a value for reports; no content, which may be secret.';

create table maintenance.metadata_repair (
    id bigint generated always as identity primary key,
    run_id bigint not null references maintenance.run,
    relation text not null,
    part text not null,
    kinds jsonb not null,
    rows_repaired integer not null,
    repaired_at timestamptz not null default clock_timestamp()
);
create index metadata_repair_run on maintenance.metadata_repair (run_id);
comment on table maintenance.metadata_repair is
'A row for each batch of repaired metadata, written in the transaction that repaired it.';
comment on column maintenance.metadata_repair.part is 'The partition that the rows stood in, or the table itself.';
comment on column maintenance.metadata_repair.kinds is 'How many rows of which kind of fault.';
