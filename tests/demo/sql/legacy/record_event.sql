-- Create the RPC function through which application code writes events.
-- locks: none on relations
create function monitoring.record_event(p_type text, p_data jsonb) returns bigint
language plpgsql set search_path = '' as $$
declare
    new_id bigint;
begin
    insert into monitoring.events (type, data, timestamp, created_at) values (p_type, p_data, now(), now())
    returning id into new_id;
    return new_id;
end;
$$;
revoke execute on function monitoring.record_event(text, jsonb) from public;
grant execute on function monitoring.record_event(text, jsonb) to service_role;
