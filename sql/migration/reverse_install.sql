-- Log id and time of target rows that change from now on, old and new, so that they can be carried back (design 5).
-- Maintenance marks what it moves itself; the mark counts for members of the owner alone, so no application can set it.
-- identifiers: function, target, id, time
-- literals: migration
-- locks: SHARE ROW EXCLUSIVE on target
create function {function}() returns trigger language plpgsql security definer
set search_path = '' set timezone = 'UTC'
as $function$
begin
    if current_setting('maintenance.carrying', true) = 'on' and pg_has_role(session_user, current_user, 'member') then
        return null;
    end if;
    if tg_op = 'INSERT' then
        insert into maintenance.reverse_capture (migration, key, event_time)
        select {migration}, n.{id}::text, n.{time} from new_rows as n;
    elsif tg_op = 'DELETE' then
        insert into maintenance.reverse_capture (migration, key, event_time)
        select {migration}, o.{id}::text, o.{time} from old_rows as o;
    else
        insert into maintenance.reverse_capture (migration, key, event_time)
        select {migration}, c.key::text, c.event_time
        from (
            select o.{id} as key, o.{time} as event_time from old_rows as o
            union
            select n.{id}, n.{time} from new_rows as n
        ) as c;
    end if;
    return null;
end;
$function$;
create trigger maintenance_reverse_insert after insert on {target}
referencing new table as new_rows for each statement execute function {function}();
create trigger maintenance_reverse_update after update on {target}
referencing old table as old_rows new table as new_rows for each statement execute function {function}();
create trigger maintenance_reverse_delete after delete on {target}
referencing old table as old_rows for each statement execute function {function}();
create trigger maintenance_reverse_truncate before truncate on {target}
for each statement execute function maintenance.refuse_target_truncate();
alter table {target} enable always trigger maintenance_reverse_insert;
alter table {target} enable always trigger maintenance_reverse_update;
alter table {target} enable always trigger maintenance_reverse_delete;
alter table {target} enable always trigger maintenance_reverse_truncate
