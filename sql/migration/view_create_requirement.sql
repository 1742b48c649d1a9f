-- Create the function that holds a row written through a view to the NOT NULLs and CHECKs of its legacy table, by their names.
-- identifiers: function, legacy
-- literals: schema, table
-- fragments: null_column, broken_check
-- locks: none on relations
create function {function}({legacy}) returns void language plpgsql set search_path = '' as $function$
#variable_conflict use_column
<<mine>>
declare
    found text := {null_column};
begin
    if mine.found is not null then
        raise not_null_violation using
            message = format('null value in column "%s" of relation "%s" violates not-null constraint', mine.found, {table}),
            schema = {schema}, table = {table}, column = mine.found;
    end if;
    select {broken_check} into mine.found from (select ($1).*) as candidate;
    if mine.found is not null then
        raise check_violation using
            message = format('new row for relation "%s" violates check constraint "%s"', {table}, mine.found),
            schema = {schema}, table = {table}, constraint = mine.found;
    end if;
end;
$function$
