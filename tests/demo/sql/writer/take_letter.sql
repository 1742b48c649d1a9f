-- Take one pending dead letter as a queue worker does; rows that another worker holds are passed over.
-- params: ids
-- locks: ROW SHARE on dlq_table, FOR UPDATE on the row
select t.id
from monitoring.dlq_table as t
where t.id = any(%(ids)s) and t.status = 'pending'
limit 1
for update skip locked
