-- Age of each view's last successful refresh, and its last failure where that is newer.
-- params: names
select
    n.name as matview,
    max(r.refreshed_at) filter (where r.error is null) as refreshed_at,
    (array_agg(r.error order by r.id desc))[1] as last_error
from unnest(%(names)s::text[]) as n (name)
left join maintenance.matview_refresh as r on n.name = r.matview
group by n.name
order by n.name
