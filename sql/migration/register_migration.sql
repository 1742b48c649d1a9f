-- Register a migration, or note that its mapping has changed: units of another mapping version are no longer done.
-- params: name, target, mapping_version
insert into maintenance.migration as m (name, target, mapping_version)
values (%(name)s, %(target)s, %(mapping_version)s)
on conflict (name) do update
set target = excluded.target, mapping_version = excluded.mapping_version, changed_at = clock_timestamp()
where (m.target, m.mapping_version) is distinct from (excluded.target, excluded.mapping_version)
