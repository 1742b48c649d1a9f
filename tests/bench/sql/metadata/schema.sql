-- One table for each way to hold metadata in its shape, alike but for that, and the rows that each of them is given.
-- literals: rows
-- locks: none that matter
create schema rules;
create table rules.none (like unified.event_metric_events including defaults including constraints);
alter table rules.none drop constraint event_metric_events_metadata_shape;

-- Ours, as the migrations of the event store have it: a cast to a domain, whose rule the server keeps prepared for the session.
create table rules.check_shipped (like unified.event_metric_events including defaults including constraints);

-- The same without the comparison that settles most rows.
create table rules.check_plain (like rules.none including defaults including constraints);
alter table rules.check_plain add constraint shape check (
    event_metadata @> '{{"version": "1.0", "schema": "standard", "fields": {{}}}}'::jsonb
    and coalesce(event_metadata -> 'wrapped' = 'true'::jsonb, true)
    and coalesce(jsonb_typeof(event_metadata -> 'legacy') = 'object', true)
    and event_metadata - '{{version,schema,fields,wrapped,legacy}}'::text[] = '{{}}'::jsonb
);

create table rules.check_function (like rules.none including defaults including constraints);
alter table rules.check_function add constraint shape check (maintenance.metadata_fault(event_metadata) is null);

-- Short: a CHECK's text is read anew by every statement that inserts.
create table rules.check_short (like rules.none including defaults including constraints);
create function rules.is_standard(metadata jsonb) returns boolean language plpgsql immutable parallel safe as $$
begin
    return maintenance.metadata_fault(metadata) is null;
end
$$;
alter table rules.check_short add constraint shape check (
    event_metadata = '{{"version": "1.0", "schema": "standard", "fields": {{}}}}'::jsonb or rules.is_standard(event_metadata)
);

-- The rule in the CHECK itself, as it was before: its text is read anew by every statement.
create table rules.check_inline (like rules.none including defaults including constraints);
alter table rules.check_inline add constraint shape check (
    event_metadata = '{{"version": "1.0", "schema": "standard", "fields": {{}}}}'::jsonb
    or (
        event_metadata @> '{{"version": "1.0", "schema": "standard", "fields": {{}}}}'::jsonb
        and coalesce(event_metadata -> 'wrapped' = 'true'::jsonb, true)
        and coalesce(jsonb_typeof(event_metadata -> 'legacy') = 'object', true)
        and event_metadata - '{{version,schema,fields,wrapped,legacy}}'::text[] = '{{}}'::jsonb
    )
);

-- One operator with a constant, the same rule: strict, so that no array is looked into; a key that is absent is an error, which
-- `is unknown` catches. The constant's bytes are read one by one by every statement.
create table rules.check_path (like rules.none including defaults including constraints);
alter table rules.check_path add constraint shape check (
    (
        event_metadata @@ 'strict $.version == "1.0" && $.schema == "standard" && $.fields.type() == "object"
            && ((exists($.wrapped)) is unknown || $.wrapped == true)
            && ((exists($.legacy)) is unknown || $.legacy.type() == "object")
            && !exists($.keyvalue().key ? (
                @ != "version" && @ != "schema" && @ != "fields" && @ != "wrapped" && @ != "legacy"
            ))'::jsonpath
    ) is true
);

create table rules.generated (
    like rules.none including defaults including constraints,
    is_standard boolean generated always as (
        event_metadata = '{{"version": "1.0", "schema": "standard", "fields": {{}}}}'::jsonb
        or (
            event_metadata @> '{{"version": "1.0", "schema": "standard", "fields": {{}}}}'::jsonb
            and coalesce(event_metadata -> 'wrapped' = 'true'::jsonb, true)
            and coalesce(jsonb_typeof(event_metadata -> 'legacy') = 'object', true)
            and event_metadata - '{{version,schema,fields,wrapped,legacy}}'::text[] = '{{}}'::jsonb
        )
    ) stored check (is_standard)
);

-- A trigger that refuses as the CHECK does.
create table rules.trigger_refuses (like rules.none including defaults including constraints);
create function rules.refuse() returns trigger language plpgsql set search_path = '' as $$
begin
    if new.event_metadata = '{{"version": "1.0", "schema": "standard", "fields": {{}}}}'::jsonb then
        return new;
    end if;
    if maintenance.metadata_fault(new.event_metadata) is not null then
        raise exception 'metadata is outside the standard shape' using errcode = 'check_violation';
    end if;
    return new;
end
$$;
create trigger refuse before insert or update on rules.trigger_refuses
for each row execute function rules.refuse();

-- A trigger that repairs, called only where its condition, which is no plpgsql, finds something to repair.
create table rules.trigger_when (like rules.none including defaults including constraints);
create function rules.repair() returns trigger language plpgsql set search_path = '' as $$
begin
    new.event_metadata := maintenance.repaired_metadata(new.event_metadata);
    return new;
end
$$;
create trigger repair before insert or update on rules.trigger_when
for each row when (maintenance.metadata_fault(new.event_metadata) is not null) execute function rules.repair();

-- The plan's own, on one column of its three.
create table rules.trigger_plan (like rules.none including defaults including constraints);
create function rules.validate_metadata(metadata jsonb) returns jsonb language plpgsql as $$
begin
    if metadata ? 'version' then
        metadata := jsonb_set(metadata, '{{schema}}', '"standard"'::jsonb);
    else
        metadata := metadata || '{{"version": "1.0", "schema": "standard"}}'::jsonb;
    end if;
    return metadata;
end
$$;
create function rules.apply_metadata_validation() returns trigger language plpgsql as $$
begin
    new.event_metadata := rules.validate_metadata(new.event_metadata);
    return new;
end
$$;
create trigger apply_metadata_validation before insert or update on rules.trigger_plan
for each row execute function rules.apply_metadata_validation();

-- Three of five rows without fields, as in the five legacy tables; the others with four.
create table rules.given as
select
    jsonb_build_object('n', n, 'message', repeat('x', 80), 'path', '/api/v1/items/' || n) as event_data,
    case
        when n % 5 < 3 then '{{"version": "1.0", "schema": "standard", "fields": {{}}}}'::jsonb
        else jsonb_build_object(
            'version', '1.0', 'schema', 'standard',
            'fields', jsonb_build_object('host', 'web-' || n % 9, 'region', 'eu', 'attempt', n % 4, 'trace', md5(n::text))
        )
    end as event_metadata
from generate_series(1, {rows}) as n
