-- How many rows of one relation hold metadata outside the standard shape, by kind, and how many hold the shape twice.
-- identifiers: part, column
-- locks: ACCESS SHARE on part
select f.kind, f.is_fault, count(*) as rows
from (
    select
        coalesce(maintenance.metadata_fault(t.{column}), 'shape in the shape') as kind,
        maintenance.metadata_fault(t.{column}) is not null as is_fault
    from only {part} as t
    where maintenance.metadata_fault(t.{column}) is not null or maintenance.is_metadata_twice(t.{column})
) as f
group by f.kind, f.is_fault
order by f.kind
