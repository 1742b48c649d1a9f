-- Give a partitioned table a partition for each day from one instant to another that it does not have yet.
-- literals: parent, lower, upper
-- locks: ACCESS EXCLUSIVE on the parent
do $$
declare
    day timestamptz;
begin
    perform set_config('TimeZone', 'UTC', true);
    for day in select generate_series({lower}::timestamptz, {upper}::timestamptz - interval '1 day', interval '1 day') loop
        if not exists (
            select from maintenance.partition as p where p.parent_oid = {parent}::regclass and p.lower = day
        ) then
            execute format(
                'create table %1$s_%2$s partition of %1$s for values from (%3$L) to (%4$L)',
                {parent}, to_char(day, '"p"YYYYMMDD'), day, day + interval '1 day'
            );
        end if;
    end loop;
end $$
