-- Make the open findings those of this report; returns what to tell: opened, changed, a day old since last told, or closed.
-- params: findings, as_of
with given as (
    select distinct on (g.rule, g.object) g.rule, g.object, g.level
    from jsonb_to_recordset(%(findings)s::jsonb) as g (rule text, object text, level text)
    order by g.rule, g.object
),

closed as (
    delete from maintenance.finding as f
    where not exists (select from given as g where g.rule = f.rule and g.object = f.object)
    returning f.rule, f.object
),

opened as (
    insert into maintenance.finding as f (rule, object, level, since, told_at)
    select g.rule, g.object, g.level, %(as_of)s::timestamptz, %(as_of)s::timestamptz
    from given as g
    order by g.rule, g.object
    on conflict (rule, object) do update set level = excluded.level, told_at = excluded.told_at
    where f.level <> excluded.level or f.told_at <= excluded.told_at - interval '1 day'
    returning f.rule, f.object
)

select 'opened' as change, o.rule, o.object from opened as o
union all
select 'closed', c.rule, c.object from closed as c
