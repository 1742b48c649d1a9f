-- Putting a refused row aside while a statement passes it (M2).

-- Called in a condition, after the reason was found: a copy then reads and maps each row once, in one snapshot, instead of
-- once for the rows it takes and once for those it does not.
create function maintenance.quarantine_row(
    source_id integer, key text, event_time timestamptz, reason text, legacy_row jsonb
) returns boolean
language plpgsql set search_path = '' as $$
begin
    insert into maintenance.quarantine as q (source_id, key, event_time, reason, legacy_row)
    values (
        quarantine_row.source_id, quarantine_row.key, quarantine_row.event_time, quarantine_row.reason, quarantine_row.legacy_row
    )
    on conflict on constraint quarantine_pkey do update
    set
        event_time = excluded.event_time,
        target_key = null,
        reason = excluded.reason,
        legacy_row = excluded.legacy_row,
        quarantined_at = clock_timestamp();
    return false;
end;
$$;
revoke execute on function maintenance.quarantine_row(integer, text, timestamptz, text, jsonb) from public;
comment on function maintenance.quarantine_row(integer, text, timestamptz, text, jsonb) is
'Quarantines a legacy row whole, or puts its entry right, and returns false: the row is not to be copied.';
