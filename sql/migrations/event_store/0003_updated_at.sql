-- Keep updated_at current: only where the statement left it as it was, and never while a row is carried over (D11).
-- The setting is for those who write rows exactly as they stand elsewhere: set local maintenance.keep_updated_at = 'on'.
create function unified.set_updated_at() returns trigger
language plpgsql set search_path = '' as $$
begin
    new.updated_at := now();
    return new;
end;
$$;
revoke execute on function unified.set_updated_at() from public, anon, authenticated, service_role;
comment on function unified.set_updated_at() is 'Trigger function: sets updated_at to the time of the transaction.';

create trigger set_updated_at before update on unified.event_metric_events
for each row
when (
    new.updated_at is not distinct from old.updated_at
    and current_setting('maintenance.keep_updated_at', true) is distinct from 'on'
)
execute function unified.set_updated_at();
comment on trigger set_updated_at on unified.event_metric_events is
'Sets updated_at where the statement did not, unless maintenance.keep_updated_at is on.';
