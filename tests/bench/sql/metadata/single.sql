-- Insert some given rows, each by a statement of its own, inside the server: what a statement costs by itself is then seen.
-- identifiers: target
-- literals: rows
-- locks: ROW EXCLUSIVE on target
do $$
declare
    one record;
begin
    for one in select g.event_data, g.event_metadata from rules.given as g limit {rows} loop
        insert into {target} (event_type, event_category, source_system, event_data, event_metadata)
        values ('measured', 'monitoring', 'bench', one.event_data, one.event_metadata);
    end loop;
end $$
