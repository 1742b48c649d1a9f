-- Choose rows that are there already, spread over the whole table, without the largest and without ids of two tables.
-- identifiers: relation
-- params: seed, most, except
-- locks: ACCESS SHARE on relation
select t.id::text, to_jsonb(t)::text
from
    {relation} as t
    inner join (
        select id from {relation}
        where id::text <> all(%(except)s)
        order by hashtextextended(id::text, %(seed)s), id
        limit %(most)s
    ) as chosen on t.id = chosen.id
where octet_length(to_jsonb(t)::text) < 20000
order by t.id
