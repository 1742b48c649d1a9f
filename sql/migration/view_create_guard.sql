-- Create the trigger function that does what the legacy table's row-level security did to a role without a writing policy:
-- an INSERT is an error, an UPDATE or DELETE finds no row. It runs with the rights of the role that writes.
-- identifiers: function
-- literals: writers, table
-- locks: none on relations
create function {function}() returns trigger language plpgsql set search_path = '' as $function$
begin
    if exists (
        select from pg_roles as r
        where
            (r.rolname = any ({writers}::text[]) and pg_has_role(r.oid, 'usage'))
            or (r.rolname = current_user and (r.rolsuper or r.rolbypassrls))
    ) then
        return case tg_op when 'DELETE' then old else new end;
    end if;
    if tg_op = 'INSERT' then
        raise insufficient_privilege using
            message = format('new row violates row-level security policy for table "%s"', {table});
    end if;
    return null;
end;
$function$
