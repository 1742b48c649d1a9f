-- Create the trigger function that takes an INSERT through the old name: into the target, or into quarantine where the
-- mapping refuses the row or another source holds its id and time (M4). A refusal by the span is judged again under its lock.
-- identifiers: function, aside, key, require, claim, forward, target, id, time
-- fragments: key_default, new_values, columns, mapped, as_json, holders
-- literals: source_id, target_name, counter
-- locks: none on relations
create or replace function {function}() returns trigger language plpgsql security definer
set search_path = '' set timezone = 'UTC' set extra_float_digits = 1 set datestyle = 'ISO' set intervalstyle = 'postgres'
as $function$
<<mine>>
declare
    is_explicit boolean := new.{key} is not null;
    candidate {aside};
    span record;
    written bigint;
begin
    perform nextval({counter});
    if not mine.is_explicit then
        new.{key} := {key_default};
    end if;
    mine.candidate := row({new_values})::{aside};
    perform maintenance.{require}(mine.candidate);
    if mine.is_explicit then
        perform maintenance.{claim}(mine.candidate);
    end if;
    for attempt in 1..2 loop
        if attempt = 1 then
            select s.lower, s.upper into mine.span from maintenance.span as s where s.target = {target_name};
        else
            select s.lower, s.upper into mine.span from maintenance.span as s where s.target = {target_name} for share;
        end if;
        insert into {target} ({columns}) overriding system value
        select {mapped} from maintenance.{forward}(mine.candidate, mine.span.lower, mine.span.upper) as f
        where f.reason is null
        on conflict ({id}, {time}) do nothing;
        get diagnostics mine.written = row_count;
        if mine.written = 1 then
            return new;
        end if;
    end loop;
    insert into maintenance.quarantine (source_id, key, event_time, target_key, reason, legacy_row)
    select
        {source_id}, new.{key}::text, f.{time}, case when f.reason is null then f.{id}::text end,
        coalesce(f.reason, 'collision with ' || case {holders} else 'a row of no source' end), {as_json}
    from maintenance.{forward}(mine.candidate, mine.span.lower, mine.span.upper) as f
    left join {target} as u on f.{id} = u.{id} and f.{time} = u.{time};
    return new;
end;
$function$
