-- Repair at most a batch of rows in some blocks of one relation, in their order; rows that others hold are passed over.
-- Written through the parent, whose triggers see it as any write; the partition's own condition leads to it alone. A row that
-- was changed since is either judged as it is now, under the lock, or left for the next run.
-- identifiers: table, part, column
-- fragments: condition
-- params: part_oid, lower, upper, batch_rows
-- locks: ROW EXCLUSIVE on table and part, and the rows
with due as materialized (
    select r.ctid as maintenance_place, maintenance.metadata_fault(r.{column}) as maintenance_kind
    from only {part} as r
    where
        r.ctid > %(lower)s::tid and r.ctid < %(upper)s::tid
        and maintenance.metadata_fault(r.{column}) is not null
    order by r.ctid limit %(batch_rows)s
    for no key update skip locked
),
done as (
    update {table} as t
    set {column} = maintenance.repaired_metadata(t.{column})
    from due
    where
        t.ctid = due.maintenance_place and t.tableoid = %(part_oid)s::oid
        and maintenance.metadata_fault(t.{column}) is not null and ({condition})
    returning due.maintenance_kind as kind, due.maintenance_place as place
)
select
    (select count(*) from due) as seen,
    (select max(d.place)::text from done as d) as last_place,
    (select count(*) from done) as repaired,
    coalesce((
        select jsonb_object_agg(k.kind, k.rows)
        from (select d.kind, count(*) as rows from done as d group by d.kind) as k
    ), '{{}}') as kinds
