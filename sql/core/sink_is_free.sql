-- Whether no migration compares this table any more: the named ones are all cut over, no other captures into it. The rows looked at
-- stay as they are until the transaction ends.
-- params: target, migrations
-- locks: ROW SHARE on maintenance.migration
with watched as (
    select m.name, m.phase
    from maintenance.migration as m
    where m.target = %(target)s or m.name = any(%(migrations)s::text[])
    for share
)

select
    not exists (select from watched as w where w.phase = 'capturing')
    and not exists (
        select from unnest(%(migrations)s::text[]) as d (name)
        where not exists (select from watched as w where w.name = d.name and w.phase in ('cut_over', 'retired'))
    ) as is_free
