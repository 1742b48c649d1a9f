-- Refreshes of materialized views, with their cost (D7).

create table maintenance.matview_refresh (
    id bigint generated always as identity primary key,
    matview text not null,
    refreshed_at timestamptz not null,
    is_concurrent boolean not null,
    seconds double precision not null,
    rows_after bigint not null,
    size_bytes bigint not null,
    error text
);
create index matview_refresh_newest on maintenance.matview_refresh (matview, refreshed_at desc);
comment on column maintenance.matview_refresh.error is 'Why this attempt failed; null on success.';
