-- Whether any row is kept whole beside its legacy row.
-- params: migration
select exists (
    select from maintenance.carry_back as c where c.migration = %(migration)s and c.reason is null
) as found
