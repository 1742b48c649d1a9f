-- Note how many writes an old name has counted, and since when it has been that number; the first look counts from the cutover.
-- params: source_id, writes, cut_over_at, as_of
insert into maintenance.old_name_watch as w (source_id, writes, grew_at, seen_at)
values (
    %(source_id)s, %(writes)s::bigint,
    case when %(writes)s::bigint = 0 then %(cut_over_at)s::timestamptz else greatest(%(as_of)s::timestamptz, clock_timestamp()) end,
    clock_timestamp()
)
on conflict (source_id) do update set
    grew_at = case
        when w.grew_at < %(cut_over_at)s::timestamptz and excluded.writes = 0 then %(cut_over_at)s::timestamptz
        when w.writes <> excluded.writes then excluded.grew_at
        else w.grew_at
    end,
    writes = excluded.writes,
    seen_at = excluded.seen_at
returning w.writes, w.grew_at
