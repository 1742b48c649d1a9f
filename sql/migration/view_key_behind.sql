-- Why keys drawn from a sequence would repeat: one of the next 10,000 exists. The table would refuse such a row; the view draws
-- without a look. The sequence is read after the snapshot, so no key of the snapshot was drawn later.
-- identifiers: relation, key, sequence
-- literals: key_name
select
    format(
        'its sequence %s gives %s next and the %s %s exists, so rows without one of their own would repeat keys'
        ' (select setval(%L, %s))',
        s.seqrelid::regclass, s.next, {key_name}, min(l.{key}), s.seqrelid::regclass, (select max(h.{key}) from {relation} as h)
    ) as reason
from (
    select q.seqrelid, q.seqincrement, v.last_value + case when v.is_called then q.seqincrement else 0 end as next
    from {sequence} as v
    inner join pg_catalog.pg_sequence as q on v.tableoid = q.seqrelid
    -- One at its end gives no further key.
    where q.seqincrement > 0 and (not v.is_called or v.last_value <= q.seqmax - q.seqincrement)
) as s
inner join {relation} as l on l.{key} >= s.next and l.{key} - s.next < 10000 * s.seqincrement
group by s.seqrelid, s.next
