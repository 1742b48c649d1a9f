-- Create the trigger function that takes an UPDATE through the old name: it changes what its mapping changes, moves the row
-- where its id or time changes, and into quarantine where the mapping refuses it or the new place is taken (M4). The span is
-- no reason against a row whose time stays: its partition is there, on hold or restored.
-- identifiers: function, aside, key, require, claim, lock, forward, target, id, time
-- fragments: key_default, old_values, new_values, columns, merged, results, changed, changes, as_json, holders
-- literals: source_id, target_name, counter
-- locks: none on relations
create or replace function {function}() returns trigger language plpgsql security definer
set search_path = '' set timezone = 'UTC' set extra_float_digits = 1 set datestyle = 'ISO' set intervalstyle = 'postgres'
as $function$
<<mine>>
declare
    is_explicit boolean := new.{key} is not null;
    keep text := coalesce(current_setting('maintenance.keep_updated_at', true), '');
    seen {aside} := row({old_values})::{aside};
    candidate {aside};
    base {target};
    result {target};
    was record;
    becomes record;
    span record;
    written bigint;
begin
    perform nextval({counter});
    if not mine.is_explicit then
        new.{key} := {key_default};
    end if;
    mine.candidate := row({new_values})::{aside};
    perform maintenance.{require}(mine.candidate);
    mine.base := maintenance.{lock}(mine.seen);
    if mine.is_explicit and new.{key} <> old.{key} then
        perform maintenance.{claim}(mine.candidate);
    end if;
    for attempt in 1..2 loop
        if attempt = 1 then
            select s.lower, s.upper into mine.span from maintenance.span as s where s.target = {target_name};
        else
            select s.lower, s.upper into mine.span from maintenance.span as s where s.target = {target_name} for share;
        end if;
        select f.* into mine.becomes from maintenance.{forward}(mine.candidate, mine.span.lower, mine.span.upper) as f;
        exit when mine.becomes.reason is null;
    end loop;
    if mine.becomes.reason is not null and mine.becomes.{time} = mine.base.{time} then
        select f.* into mine.becomes from maintenance.{forward}(mine.candidate, '-infinity', 'infinity') as f;
    end if;
    perform set_config('maintenance.keep_updated_at', 'on', true);
    select f.* into mine.was from maintenance.{forward}(mine.seen, '-infinity', 'infinity') as f;
    mine.result := row({merged})::{target};
    if mine.becomes.reason is null and mine.result.{id} = mine.base.{id} and mine.result.{time} = mine.base.{time} then
        update {target} as u set ({changed}) = row({changes})
        where u.{id} = mine.base.{id} and u.{time} = mine.base.{time};
        get diagnostics mine.written = row_count;
        if mine.written = 0 then
            raise serialization_failure using message = 'could not update the row: its partition has just been detached';
        end if;
    else
        delete from {target} as u where u.{id} = mine.base.{id} and u.{time} = mine.base.{time};
        insert into {target} ({columns}) overriding system value
        select {results} where mine.becomes.reason is null
        on conflict ({id}, {time}) do nothing;
        get diagnostics mine.written = row_count;
    end if;
    perform set_config('maintenance.keep_updated_at', mine.keep, true);
    if mine.written = 0 then
        insert into maintenance.quarantine (source_id, key, event_time, target_key, reason, legacy_row)
        select
            {source_id}, new.{key}::text, mine.becomes.{time},
            case when mine.becomes.reason is null then mine.becomes.{id}::text end,
            coalesce(mine.becomes.reason, 'collision with ' || case {holders} else 'a row of no source' end), {as_json}
        from (values (1)) as one (n)
        left join {target} as u on mine.becomes.{id} = u.{id} and mine.becomes.{time} = u.{time};
    end if;
    return new;
end;
$function$
