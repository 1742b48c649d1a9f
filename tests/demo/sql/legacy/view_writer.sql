-- Create production's view with an INSTEAD OF trigger, a dependant that a migration must have declared.
-- locks: ACCESS SHARE on monitoring_events
create view public.monitoring_events_view as
select
    id,
    event_type,
    timestamp,
    source,
    data,
    metadata,
    created_at
from monitoring.monitoring_events;

create function public.monitoring_events_view_insert() returns trigger language plpgsql set search_path = '' as $$
begin
    insert into monitoring.monitoring_events (event_type, timestamp, source, data, metadata)
    values (new.event_type, new.timestamp, new.source, new.data, coalesce(new.metadata, '{{}}'));
    return new;
end;
$$;

create trigger monitoring_events_view_insert instead of insert on public.monitoring_events_view
for each row execute function public.monitoring_events_view_insert();

grant select, insert on public.monitoring_events_view to authenticated, service_role;
