-- Register the bounds of event times that a target takes; once registered they move with its partitions only.
-- params: target, lower, upper
insert into maintenance.span (target, lower, upper)
values (%(target)s, %(lower)s, %(upper)s)
on conflict (target) do nothing
