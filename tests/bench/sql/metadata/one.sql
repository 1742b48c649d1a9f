-- Insert one row, as an application does: a statement and a transaction of its own.
-- identifiers: target
-- params: data, metadata
-- locks: ROW EXCLUSIVE on target
insert into {target} (event_type, event_category, source_system, event_data, event_metadata)
values ('measured', 'monitoring', 'bench', %(data)s, %(metadata)s)
