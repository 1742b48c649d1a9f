-- Set a setting that applications read (M3).
-- params: name, value
insert into maintenance.setting as s (name, value) values (%(name)s, %(value)s)
on conflict (name) do update set value = excluded.value, changed_at = clock_timestamp(), changed_by = current_user
