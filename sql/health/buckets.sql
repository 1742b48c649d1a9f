-- Objects and bytes of each Supabase Storage bucket.
-- identifiers: relation
select o.bucket_id as bucket, count(*) as objects, coalesce(sum((o.metadata ->> 'size')::bigint), 0)::bigint as bytes
from {relation} as o
group by o.bucket_id
order by bytes desc
limit 20
