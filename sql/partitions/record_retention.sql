-- Remember what this run decides by; an acceptance counts once.
-- params: relation, keep, as_of
insert into maintenance.retention (relation, keep, as_of)
values (%(relation)s, %(keep)s, %(as_of)s)
on conflict (relation) do update
set keep = excluded.keep, as_of = excluded.as_of, ran_at = clock_timestamp(), accepts = null
