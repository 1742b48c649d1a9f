-- A declared relation by some of its columns, the largest groups first, with the total over all groups.
-- identifiers: relation
-- fragments: groups, measures, total
select {groups}, {measures}, (sum({total}) over ())::bigint as total_of_all
from {relation}
group by {groups}
order by {total} desc
limit 20
