-- Create the function that refuses an explicit id which the source has already, one session at a time (M4).
-- identifiers: function, legacy, key, forward, target, id, owns
-- literals: source_id, schema, table, key_name, key_constraint
-- locks: none on relations
create function {function}({legacy}) returns void language plpgsql set search_path = '' as $function$
begin
    perform maintenance.claim_id({source_id}, ($1).{key}::text);
    if exists (
        select
        from maintenance.{forward}($1, '-infinity', 'infinity') as f
        inner join {target} as u on f.{id} = u.{id}
        where maintenance.{owns}(u)
    ) or exists (
        select from maintenance.quarantine as q where q.source_id = {source_id} and q.key = ($1).{key}::text
    ) then
        raise unique_violation using
            message = format('duplicate key value violates unique constraint "%s"', {key_constraint}),
            detail = format('Key (%s)=(%s) already exists.', {key_name}, ($1).{key}),
            schema = {schema}, table = {table}, constraint = {key_constraint};
    end if;
end;
$function$
