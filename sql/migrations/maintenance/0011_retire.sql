-- The settings row for applications (M3), and what retiring the legacy tables remembers (M5).

create function maintenance.setting_on(name text) returns boolean
language sql stable security definer set search_path = ''
begin atomic
    select coalesce((
        select lower(s.value) in ('true', 't', 'yes', 'y', 'on', '1') from maintenance.setting as s where s.name = setting_on.name
    ), false);
end;
comment on function maintenance.setting_on(text) is
'Whether a settings row says yes; no where it was never set. An application asks its own environment first, which overrides it.';

create function maintenance.use_unified_schema() returns boolean
language sql stable
return maintenance.setting_on('USE_UNIFIED_SCHEMA');
comment on function maintenance.use_unified_schema() is 'maintenance.setting_on for the toggle that migrations flip by default (M3).';

create table maintenance.old_name_watch (
    source_id integer primary key references maintenance.source,
    writes bigint not null,
    grew_at timestamptz not null,
    seen_at timestamptz not null default clock_timestamp()
);
comment on table maintenance.old_name_watch is
'Writes counted through each old name when retire_legacy looked last, and when it first saw that number: since then none came.';
