-- Coarsening: closed partitions that become one longer one, and what is written to them meanwhile.

create table maintenance.coarsening (
    id bigint generated always as identity primary key,
    parent text not null,
    lower timestamptz not null,
    upper timestamptz not null,
    partition text not null,
    members text[] not null,
    member_oids oid[] not null,
    state text not null default 'watched' check (state in ('watched', 'built', 'swapped', 'done', 'abandoned')),
    run_id bigint not null references maintenance.run,
    partition_oid oid,
    built_xid xid8,
    rows bigint,
    content_hash text,
    reason text,
    began_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz
);
create unique index coarsening_under_way on maintenance.coarsening (parent, lower)
where state in ('watched', 'built', 'swapped');
comment on table maintenance.coarsening is
'Partitions that become one: watched (writes to them are noted), built (copied and compared), swapped (the long one is attached), done (theirs are dropped).';

create table maintenance.coarsening_change (
    coarsening_id bigint not null references maintenance.coarsening on delete cascade,
    changed_at timestamptz not null default clock_timestamp()
);
create index coarsening_change_coarsening on maintenance.coarsening_change (coarsening_id);
comment on table maintenance.coarsening_change is
'A row for each transaction that changed a watched partition and committed; one is enough to give the coarsening up.';

-- Row triggers stand on the partitions themselves: DML on the parent fires no statement trigger of a partition.
create function maintenance.note_change() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    insert into maintenance.coarsening_change (coarsening_id)
    select tg_argv[0]::bigint
    where not exists (select from maintenance.coarsening_change as c where c.coarsening_id = tg_argv[0]::bigint);
    return null;
end
$$;
comment on function maintenance.note_change() is 'Trigger function: notes that a partition was changed while it is copied.';
revoke execute on function maintenance.note_change() from public;
