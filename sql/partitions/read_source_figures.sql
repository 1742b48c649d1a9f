-- Rows and content hash of a detached partition by the code of the source that owns them; null where none does.
-- identifiers: relation
-- fragments: owners, elements
select s.code, count(*) as row_count, sum(s.row_hash::numeric)::text as content_hash
from (
    select case {owners} end as code, hashtextextended(hash_record_extended(row({elements}), 0)::text, 0) as row_hash
    from {relation} as r
    offset 0
) as s
group by s.code
order by s.code
