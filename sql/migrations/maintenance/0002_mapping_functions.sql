-- Scalar helpers for the mappings of sql/legacy/: pure, never raising, one expression each, so that the planner inlines them.
-- Their bodies are parsed here and not when called: compatibility views are read by roles without USAGE on this schema.
-- EXECUTE stays with PUBLIC; a caller learns nothing that its own arguments do not say.
-- A key is looked up with ->> more than once rather than kept in a subquery: a subquery in an inlined function makes the
-- planner build the whole legacy row for every row read (0.1 to 0.2 µs, and every value stored out of line).

-- Keys and ids. A bigint key becomes a UUID version 8 (RFC 9562): the code in the first 8 digits, 0000, version nibble 8,
-- variant bits 10, and the key in the 62 bits that are left.
create function maintenance.v8_id(code integer, id bigint) returns uuid
language sql immutable parallel safe
return (lpad(to_hex(code), 8, '0') || '00008000' || to_hex(id | (-9223372036854775808)::bigint))::uuid;
comment on function maintenance.v8_id(integer, bigint) is
'Reversible UUID version 8 of a bigint key from 0 to 4611686018427387903 and the code of its source.';

create function maintenance.v8_key(id uuid) returns bigint
language sql immutable parallel safe
return ('x' || encode(substring(uuid_send(id) from 9), 'hex'))::bit(64)::bigint & 4611686018427387903;
comment on function maintenance.v8_key(uuid) is 'The bigint key in an id made by v8_id; the low 62 bits of any other id.';

-- The seventh byte is 0x80 in ours and 0x4x in every version 4 id: those end at the first comparison.
create function maintenance.is_v8_id(id uuid) returns boolean
language sql immutable parallel safe
return get_byte(uuid_send(id), 6) = 128
    and get_byte(uuid_send(id), 8) between 128 and 191
    and substring(uuid_send(id) from 5 for 4) = '\x00008000'::bytea;
comment on function maintenance.is_v8_id(uuid) is 'Whether an id has the form that v8_id gives, whatever the code.';

-- Reading JSON: only the top level of an object, keys exactly as written; what is not usable is NULL.
create function maintenance.json_int(data jsonb, key text) returns integer
language sql immutable parallel safe
return case length(data ->> key) < 10
    when true then case translate(data ->> key, '0123456789', '')
        when '' then nullif(data ->> key, '')::integer
        when '.' then case jsonb_typeof(data -> key)
            when 'number' then case when (data -> key)::numeric % 1 = 0 then (data -> key)::numeric::integer end
        end
    end
    when false then case jsonb_typeof(data -> key)
        when 'number' then case
            when (data -> key)::numeric between 0 and 2147483647
                then case when (data -> key)::numeric % 1 = 0 then (data -> key)::numeric::integer end
        end
        when 'string' then case
            when length(data ->> key) = 10 then case
                when translate(data ->> key, '0123456789', '') = ''
                    then case when (data ->> key)::bigint <= 2147483647 then (data ->> key)::integer end
            end
        end
    end
end;
comment on function maintenance.json_int(jsonb, text) is
'Integer under a key: an integral JSON number (12.0 counts) or a string of 1 to 10 ASCII digits, 0 to 2147483647; else NULL.';

create function maintenance.json_text(data jsonb, key text, longest integer) returns text
language sql immutable parallel safe
return case jsonb_typeof(data -> key)
    when 'string' then case when length(data ->> key) <= longest then nullif(data ->> key, '') end
end;
comment on function maintenance.json_text(jsonb, text, integer) is
'Text under a key: a JSON string of 1 to longest characters; else NULL.';

-- Lower case by collation C: ASCII alone, and the same in a Turkish database.
create function maintenance.severity_word(data jsonb, key text) returns text
language sql immutable parallel safe
return case lower((data ->> key) collate "C")
    when 'info' then 'info'
    when 'warning' then 'warning'
    when 'error' then 'error'
    when 'critical' then 'critical'
    when 'warn' then 'warning'
    when 'fatal' then 'critical'
end;
comment on function maintenance.severity_word(jsonb, text) is
'Severity under a key: info, warning (warn), error, critical (fatal), ASCII letters in any case; else NULL.';

create function maintenance.json_severity(data jsonb) returns text
language sql immutable parallel safe
return coalesce(maintenance.severity_word(data, 'severity'), maintenance.severity_word(data, 'level'), 'info');
comment on function maintenance.json_severity(jsonb) is 'Severity of a document: its key severity, else its key level, else info.';

create function maintenance.severity_status(severity text) returns text
language sql immutable parallel safe
return case severity when 'error' then 'failed' when 'critical' then 'failed' else 'success' end;
comment on function maintenance.severity_status(text) is 'failed for error and critical, else success.';

-- Metadata in its one shape: jsonb_set into a constant costs a third of building the object.
create function maintenance.standard_metadata(metadata jsonb) returns jsonb
language sql immutable parallel safe
return case
    when metadata is null then '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
    when jsonb_typeof(metadata) = 'object'
        then jsonb_set('{"version": "1.0", "schema": "standard", "fields": null}', '{fields}', metadata)
    else jsonb_set('{"version": "1.0", "schema": "standard", "fields": {"value": null}, "wrapped": true}', '{fields,value}', metadata)
end;
comment on function maintenance.standard_metadata(jsonb) is
'Metadata in the standard shape: an object becomes fields as it is, other JSON a value in fields, NULL no fields.';

create function maintenance.plain_metadata(standard jsonb) returns jsonb
language sql immutable parallel safe
return case
    when (standard -> 'legacy') ? 'metadata' and standard -> 'fields' = '{}'::jsonb then null
    when standard -> 'wrapped' = 'true'::jsonb then standard #> '{fields,value}'
    else standard -> 'fields'
end;
comment on function maintenance.plain_metadata(jsonb) is
'The metadata that standard_metadata was given; NULL where legacy says so and no field was added since.';

-- Numbers. A float is rounded by its exact fraction: adding 0.5 first, or a cast to numeric (15 digits), errs near one half.
create function maintenance.rounded_int(value double precision) returns integer
language sql immutable parallel safe
return case
    when value > -0.5 and value < 2147483647.5
        then trunc(value)::integer + case when value - trunc(value) >= 0.5 then 1 else 0 end
end;
comment on function maintenance.rounded_int(double precision) is
'Rounded half away from zero, if finite and the result is from 0 to 2147483647; else NULL.';

create function maintenance.json_signed(data jsonb, key text) returns integer
language sql immutable parallel safe
return case jsonb_typeof(data -> key)
    when 'number' then case
        when (data -> key)::numeric between -2147483648 and 2147483647
            then case when (data -> key)::numeric % 1 = 0 then (data -> key)::numeric::integer end
    end
end;
comment on function maintenance.json_signed(jsonb, text) is 'Integral JSON number under a key, of either sign; else NULL.';

-- The bounds are the largest float and half a unit below the smallest: past them the cast would raise.
create function maintenance.json_float(data jsonb, key text) returns double precision
language sql immutable parallel safe
return case jsonb_typeof(data -> key)
    when 'number' then case
        when (data -> key)::numeric = 0 then 0
        when abs((data -> key)::numeric) between 4.94e-324 and 1.7976931348623157e308 then (data ->> key)::double precision
    end
    when 'string' then case data ->> key
        when 'NaN' then 'NaN'::double precision
        when 'Infinity' then 'Infinity'::double precision
        when '-Infinity' then '-Infinity'::double precision
    end
end;
comment on function maintenance.json_float(jsonb, text) is
'Float under a key: a JSON number, or NaN, Infinity, -Infinity as strings; else NULL.';

-- Times. A text is read only when it is exactly what to_jsonb writes: a cast of anything else might raise.
-- The 24th of every month exists from November of 4714 BC on, where timestamps begin, to their end in 294276.
create function maintenance.text_local_unchecked(value text) returns timestamp
language sql stable parallel safe
return regexp_replace(value, '-[0-9]{2}T', '-24T')::timestamp
    + make_interval(days => substring(value from '-([0-9]{2})T')::integer - 24);
comment on function maintenance.text_local_unchecked(text) is
'Step of text_local: moves days that a month does not have into the next month instead of raising.';

create function maintenance.text_local(value text) returns timestamp
language sql stable parallel safe
return case
    when value in ('infinity', '-infinity') then value::timestamp
    when length(value) <= 40
        and value ~ '^[0-9]{4,6}-(0[1-9]|1[0-2])-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?( BC)?$'
        then case
            when case right(value, 3)
                when ' BC' then split_part(value, '-', 1)::integer >= 1
                    and (4714 - split_part(value, '-', 1)::integer) * 10000
                    + replace(substring(value from '-([0-9]{2}-[0-9]{2})T'), '-', '')::integer >= 1124
                else split_part(value, '-', 1)::integer between 1 and 294276
            end
                then case
                    when to_jsonb(maintenance.text_local_unchecked(value)) #>> '{}' = value
                        then maintenance.text_local_unchecked(value)
                end
        end
end;
comment on function maintenance.text_local(text) is
'The local time of a text in exactly the form of to_jsonb(timestamp), infinity included; NULL for any other text.';

create function maintenance.json_instant(data jsonb, key text) returns timestamptz
language sql stable parallel safe
return maintenance.text_local(replace(data ->> key, '+00:00', '')) at time zone interval '0';
comment on function maintenance.json_instant(jsonb, text) is
'The instant under a key in the form that to_jsonb(timestamptz) gives under TimeZone UTC; NULL for any other text.';

-- Local times. UTC by name costs a look-up for each value, by interval an addition; the first branch goes at planning.
-- Near the ends of the calendar, where a zone's offset could leave it, the zone is not applied.
create function maintenance.local_instant(local_time timestamp, zone text) returns timestamptz
language sql immutable parallel safe
return case
    when zone in ('UTC', 'Etc/UTC') then local_time at time zone interval '0'
    when local_time between timestamp '4700-01-01 BC' and timestamp '294000-01-01' then local_time at time zone zone
    else local_time at time zone interval '0'
end;
comment on function maintenance.local_instant(timestamp, text) is 'AT TIME ZONE for a local time, without raising.';

create function maintenance.instant_local(instant timestamptz, zone text) returns timestamp
language sql immutable parallel safe
return case
    when zone in ('UTC', 'Etc/UTC') then instant at time zone interval '0'
    when instant between timestamptz '4700-01-01 00:00+00 BC' and timestamptz '294000-01-01 00:00+00' then instant at time zone zone
    else instant at time zone interval '0'
end;
comment on function maintenance.instant_local(timestamptz, text) is 'AT TIME ZONE for an instant, without raising.';

-- Two conversions for a row whose local times lie close together, instead of four for each of them: where the offset a day
-- before the first equals that a day after the last, no clock was changed between (none ever was twice within three days).
create function maintenance.is_plain_local(first timestamp, last timestamp, zone text) returns boolean
language sql immutable parallel safe
return case
    when zone in ('UTC', 'Etc/UTC') then true
    when first > timestamp '4699-01-01 BC' and last < timestamp '293999-01-01' then case
        when last - first < interval '24 hours'
            then ((last + interval '24 hours') at time zone zone) - ((first - interval '24 hours') at time zone zone)
                = last - first + interval '48 hours'
        else false
    end
    else false
end;
comment on function maintenance.is_plain_local(timestamp, timestamp, text) is
'Quick test: true where every local time from first to last exists once in its zone; false says only "look closer".';

-- A local time could be read with the offset of a day before or of a day after: where these differ, it exists once if
-- exactly one of the two readings gives it back, twice if both do, and never if none does.
create function maintenance.is_odd_local(local_time timestamp, zone text) returns boolean
language sql stable parallel safe
return case
    when zone in ('UTC', 'Etc/UTC') then false
    when local_time > timestamp '4699-01-01 BC' and local_time < timestamp '293999-01-01' then case
        when (local_time - interval '24 hours') at time zone zone + interval '24 hours'
            = (local_time + interval '24 hours') at time zone zone - interval '24 hours' then false
        else (
            ((local_time - interval '24 hours') at time zone zone + interval '24 hours') at time zone zone = local_time
        ) = (
            ((local_time + interval '24 hours') at time zone zone - interval '24 hours') at time zone zone = local_time
        )
    end
    else coalesce(isfinite(local_time), false)
end;
comment on function maintenance.is_odd_local(timestamp, text) is
'Whether a zone does not have a local time, or has it twice; true also near the ends of the calendar.';

create function maintenance.kept_local(kept jsonb, key text, instant timestamptz, zone text) returns timestamp
language sql stable parallel safe
return case
    when kept ? key and maintenance.local_instant(maintenance.text_local(kept ->> key), zone) = instant
        then maintenance.text_local(kept ->> key)
    else maintenance.instant_local(instant, zone)
end;
comment on function maintenance.kept_local(jsonb, text, timestamptz, text) is
'The local time of an instant: the one kept under a key while it still means that instant, else AT TIME ZONE.';
