-- Create the trigger function that takes a DELETE through the old name (M4).
-- identifiers: function, aside, lock, target, id, time
-- fragments: old_values
-- literals: counter
-- locks: none on relations
create or replace function {function}() returns trigger language plpgsql security definer
set search_path = '' set timezone = 'UTC' set extra_float_digits = 1 set datestyle = 'ISO' set intervalstyle = 'postgres'
as $function$
<<mine>>
declare
    base {target};
begin
    perform nextval({counter});
    mine.base := maintenance.{lock}(row({old_values})::{aside});
    delete from {target} as u where u.{id} = mine.base.{id} and u.{time} = mine.base.{time};
    return old;
end;
$function$
