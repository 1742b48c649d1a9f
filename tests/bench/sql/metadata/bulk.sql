-- Insert the given rows by one statement.
-- identifiers: target
-- literals: rows
-- locks: ROW EXCLUSIVE on target
insert into {target} (event_type, event_category, source_system, event_data, event_metadata)
select 'measured', 'monitoring', 'bench', g.event_data, g.event_metadata from rules.given as g limit {rows}
