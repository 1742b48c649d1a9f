-- Capture of changes to legacy tables, and what copy and drain share (design 5 and 6).
-- The overloads hide the type of a time column: each is one expression that the planner inlines, so that indexes and
-- partition pruning see plain comparisons.

create function maintenance.source_instant(value timestamptz, zone text) returns timestamptz
language sql immutable parallel safe
return value;
create function maintenance.source_instant(value timestamp, zone text) returns timestamptz
language sql immutable parallel safe
return maintenance.local_instant(value, zone);
-- Dates go on where timestamps end; a date that no span can hold has no instant.
create function maintenance.source_instant(value date, zone text) returns timestamptz
language sql immutable parallel safe
return case
    when value between date '4700-01-01 BC' and date '294000-01-01' then maintenance.local_instant(value::timestamp, zone)
    when not isfinite(value) then value::timestamp at time zone interval '0'
end;
comment on function maintenance.source_instant(timestamptz, text) is 'The instant of a time column''s value.';
comment on function maintenance.source_instant(timestamp, text) is 'The instant of a time column''s value at its zone.';
comment on function maintenance.source_instant(date, text) is 'The instant at which a date begins in its zone; NULL where none can.';

-- Local times do not rise with instants while a clock is put forward or back. Where that may be near, the range of local
-- times is widened by a day on each side; the exact test on the instant stands beside it in every statement.
create function maintenance.first_time(lower timestamptz, zone text, kind timestamptz) returns timestamptz
language sql immutable parallel safe
return lower;
create function maintenance.first_time(lower timestamptz, zone text, kind timestamp) returns timestamp
language sql immutable parallel safe
return maintenance.instant_local(lower, zone) - case
    when maintenance.is_plain_local(maintenance.instant_local(lower, zone), maintenance.instant_local(lower, zone), zone)
        then interval '0'
    else interval '25 hours'
end;
create function maintenance.first_time(lower timestamptz, zone text, kind date) returns date
language sql immutable parallel safe
return maintenance.first_time(lower, zone, null::timestamp)::date;
comment on function maintenance.first_time(timestamptz, text, timestamp) is
'A value that no time column''s value with an instant from lower on is below; the column''s type is that of the last argument.';

create function maintenance.past_time(upper timestamptz, zone text, kind timestamptz) returns timestamptz
language sql immutable parallel safe
return upper;
create function maintenance.past_time(upper timestamptz, zone text, kind timestamp) returns timestamp
language sql immutable parallel safe
return maintenance.instant_local(upper, zone) + case
    when maintenance.is_plain_local(maintenance.instant_local(upper, zone), maintenance.instant_local(upper, zone), zone)
        then interval '0'
    else interval '25 hours'
end;
create function maintenance.past_time(upper timestamptz, zone text, kind date) returns date
language sql immutable parallel safe
return (maintenance.past_time(upper, zone, null::timestamp) - interval '1 microsecond')::date + 1;
comment on function maintenance.past_time(timestamptz, text, timestamp) is
'A value above every time column''s value with an instant below upper; the column''s type is that of the last argument.';

-- The id that a legacy key gets in the target is decided by the two types. NULL where the mapping refuses the key.
create function maintenance.target_id(key bigint, code integer, kind uuid) returns uuid
language sql immutable parallel safe
return case when key between 0 and 4611686018427387903 then maintenance.v8_id(code, key) end;
create function maintenance.target_id(key uuid, code integer, kind uuid) returns uuid
language sql immutable parallel safe
return key;
create function maintenance.target_id(key bigint, code integer, kind bigint) returns bigint
language sql immutable parallel safe
return key;
create function maintenance.target_id(key text, code integer, kind text) returns text
language sql immutable parallel safe
return key;
comment on function maintenance.target_id(bigint, integer, uuid) is
'The id of a legacy key in the target; the id''s type is that of the last argument.';

-- A partition key without time zone is read as UTC.
create function maintenance.target_time(instant timestamptz, kind timestamptz) returns timestamptz
language sql immutable parallel safe
return instant;
create function maintenance.target_time(instant timestamptz, kind timestamp) returns timestamp
language sql immutable parallel safe
return instant at time zone interval '0';
create function maintenance.target_time(instant timestamptz, kind date) returns date
language sql immutable parallel safe
return (instant at time zone interval '0')::date;
comment on function maintenance.target_time(timestamptz, timestamp) is
'An instant as the value of a partition key; the key''s type is that of the last argument.';

create function maintenance.refuse_truncate() returns trigger
language plpgsql set search_path = '' as $$
begin
    raise exception 'TRUNCATE of %.% is refused: its changes are captured for a migration', tg_table_schema, tg_table_name
    using errcode = 'object_not_in_prerequisite_state',
        hint = format('Use DELETE FROM %I.%I, which is captured, or truncate it after the migration.', tg_table_schema, tg_table_name);
end;
$$;
revoke execute on function maintenance.refuse_truncate() from public;
comment on function maintenance.refuse_truncate() is 'Trigger function: TRUNCATE names no rows, so it cannot be captured.';

create function maintenance.capture_body(source_id integer) returns text
language sql stable
begin atomic
    select format(
        $body$
begin
    if tg_op = 'INSERT' then
        insert into maintenance.capture (source_id, key) select %1$s, n.%2$I::text from new_rows as n;
    elsif tg_op = 'DELETE' then
        insert into maintenance.capture (source_id, key, old_time)
        select %1$s, o.%2$I::text, maintenance.source_instant(o.%3$I, %4$L) from old_rows as o;
    else
        insert into maintenance.capture (source_id, key, old_time)
        select %1$s, o.%2$I::text, maintenance.source_instant(o.%3$I, %4$L) from old_rows as o
        union all
        select %1$s, n.%2$I::text, null from new_rows as n
        where not exists (select from old_rows as o where o.%2$I = n.%2$I);
    end if;
    return null;
end;
$body$,
        s.id, s.key_column, s.time_column, s.zone
    )
    from maintenance.source as s
    where s.id = capture_body.source_id;
end;
comment on function maintenance.capture_body(integer) is
'Body of a source''s trigger function: logs keys and old times, never contents. An UPDATE logs its new key where it differs.';

create function maintenance.capture_triggers(source_id integer)
returns table (name name, is_wanted boolean, fact text)
language sql stable
begin atomic
    select
        w.name,
        coalesce(
            t.tgenabled = 'A' and case
                when w.event = 'truncate' then t.tgfoid = 'maintenance.refuse_truncate()'::regprocedure
                else p.proname = 'capture_' || s.id and p.prosrc = maintenance.capture_body(s.id)
            end,
            false
        ),
        concat_ws(' ', s.code, w.event, t.oid, t.xmin, t.tgenabled, p.oid, p.xmin)
    from maintenance.source as s
    cross join lateral (
        select e.event, ('maintenance_capture_' || e.event)::name as name
        from unnest(array['insert', 'update', 'delete', 'truncate']) as e (event)
    ) as w
    left join pg_catalog.pg_trigger as t on t.tgrelid = s.relation_oid and t.tgname = w.name
    left join pg_catalog.pg_proc as p on p.oid = t.tgfoid
    where s.id = capture_triggers.source_id;
end;
comment on function maintenance.capture_triggers(integer) is
'The four capture triggers of a source: whether each is as it should be, and what changes when somebody touches it.';

-- ENABLE ALWAYS: a session with session_replication_role = replica is captured too.
create function maintenance.install_capture(source_id integer) returns void
language plpgsql set search_path = '' as $$
declare
    source record;
    event text;
    rows text;
    grantee oid;
begin
    select s.id, s.relation_oid::regclass as relation into strict source
    from maintenance.source as s where s.id = install_capture.source_id;
    execute format('lock table %s in share row exclusive mode', source.relation);
    execute format(
        'create or replace function maintenance.capture_%s() returns trigger language plpgsql security definer set search_path = %L as %L',
        source.id, '', maintenance.capture_body(source.id)
    );
    for grantee in
        select a.grantee from pg_proc as p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        where p.oid = format('maintenance.capture_%s()', source.id)::regprocedure and a.grantee <> p.proowner
    loop
        execute format(
            'revoke all on function maintenance.capture_%s() from %s', source.id,
            case grantee when 0 then 'public' else grantee::regrole::text end
        );
    end loop;
    for event, rows in
        values
        ('insert', 'new table as new_rows'),
        ('delete', 'old table as old_rows'),
        ('update', 'old table as old_rows new table as new_rows')
    loop
        execute format(
            'create or replace trigger %I after %s on %s referencing %s for each statement execute function maintenance.capture_%s()',
            'maintenance_capture_' || event, event, source.relation, rows, source.id
        );
    end loop;
    execute format(
        'create or replace trigger maintenance_capture_truncate before truncate on %s '
        'for each statement execute function maintenance.refuse_truncate()',
        source.relation
    );
    foreach event in array array['insert', 'update', 'delete', 'truncate'] loop
        execute format('alter table %s enable always trigger %I', source.relation, 'maintenance_capture_' || event);
    end loop;
end;
$$;
comment on function maintenance.install_capture(integer) is
'Creates the capture triggers of a source, or puts them right. Locks the table SHARE ROW EXCLUSIVE: waits for its writers, not its readers.';

create function maintenance.remove_capture(source_id integer) returns void
language plpgsql set search_path = '' as $$
declare
    installed record;
begin
    for installed in
        select t.tgname, t.tgrelid::regclass as relation
        from pg_trigger as t inner join maintenance.source as s on s.relation_oid = t.tgrelid
        where s.id = remove_capture.source_id and t.tgname like 'maintenance\_capture\_%'
    loop
        execute format('drop trigger %I on %s', installed.tgname, installed.relation);
    end loop;
    execute format('drop function if exists maintenance.capture_%s()', remove_capture.source_id);
end;
$$;
comment on function maintenance.remove_capture(integer) is
'Drops the capture triggers of a source and their function. Locks the table ACCESS EXCLUSIVE where there are any.';

-- The log is a queue: vacuum by number of rows, so that a drain does not wade through what the last one took.
alter table maintenance.capture set (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_threshold = -1,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000
);
