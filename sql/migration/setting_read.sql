-- A setting's value, null where it was never set.
-- params: name
select (select s.value from maintenance.setting as s where s.name = %(name)s) as value
