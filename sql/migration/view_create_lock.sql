-- Create the function that locks the target's row behind a row of the view, or raises 40001 where it is no longer as seen.
-- The event time finds it at once; by its id alone it is looked for where a local time means two instants.
-- identifiers: function, legacy, aside, forward, backward, owns, target, id, time
-- fragments: shown
-- literals: schema, table
-- locks: none on relations
create function {function}({legacy}) returns {target} language plpgsql set search_path = '' as $function$
<<mine>>
declare
    place record;
    base {target};
    is_as_seen boolean;
begin
    select f.{id} as id, f.{time} as at into mine.place from maintenance.{forward}($1, '-infinity', 'infinity') as f;
    select u.* into mine.base from {target} as u where u.{id} = mine.place.id and u.{time} = mine.place.at for update;
    if not found then
        select u.* into mine.base from {target} as u where u.{id} = mine.place.id and maintenance.{owns}(u) for update;
    end if;
    if found then
        select row({shown})::{aside} *= $1 into mine.is_as_seen from maintenance.{backward}(mine.base) as b;
    end if;
    if mine.is_as_seen is not true then
        raise serialization_failure using
            message = 'could not serialize access due to concurrent update',
            hint = 'Run the transaction again: the row changed after this statement had read it.',
            schema = {schema}, table = {table};
    end if;
    return mine.base;
end;
$function$
