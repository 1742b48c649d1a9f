-- How many changes of the target wait to be carried back, and how many rows no legacy table takes.
-- params: migration
select
    (select count(*) from maintenance.reverse_capture as r where r.migration = %(migration)s) as waiting,
    (
        select count(*) from maintenance.carry_back as c where c.migration = %(migration)s and c.reason is not null
    ) as refused
