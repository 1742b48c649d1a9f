-- Rename the five tables aside and put plain views in their place: what a cutover does to the names, without a new table.
-- locks: ACCESS EXCLUSIVE on each table
lock table
    monitoring.monitoring_events, monitoring.validation_metrics, monitoring.cache_metrics_monitoring,
    monitoring.events, monitoring.dlq_table in access exclusive mode;

-- An update or delete of a row that another session has changed since it was read raises 40001, so that nothing is lost.
create function monitoring.write_through() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    aside text := format('monitoring.%I', tg_table_name || '_aside');
    present jsonb;
    new_id text;
begin
    if tg_op <> 'INSERT' then
        execute format('select to_jsonb(t) from %s as t where t.id = ($1).id for update', aside) into present using old;
        if present is distinct from to_jsonb(old) then
            raise exception 'the row was changed by another session' using errcode = '40001';
        end if;
        execute format('delete from %s as t where t.id = ($1).id', aside) using old;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    if new.id is null then
        execute 'select ' || tg_argv[0] into new_id;
        new := jsonb_populate_record(new, jsonb_build_object('id', new_id));
    end if;
    execute format('insert into %s select ($1).*', aside) using new;
    return new;
end;
$$;

alter table monitoring.monitoring_events rename to monitoring_events_aside;
create view monitoring.monitoring_events as select * from monitoring.monitoring_events_aside;
alter view monitoring.monitoring_events alter column metadata set default '{{}}';
create trigger write_through instead of insert or update or delete on monitoring.monitoring_events
for each row execute function monitoring.write_through('gen_random_uuid()');

alter table monitoring.validation_metrics rename to validation_metrics_aside;
create view monitoring.validation_metrics as select * from monitoring.validation_metrics_aside;
create trigger write_through instead of insert or update or delete on monitoring.validation_metrics
for each row execute function monitoring.write_through('nextval(''monitoring.validation_metrics_id_seq'')');

alter table monitoring.cache_metrics_monitoring rename to cache_metrics_monitoring_aside;
create view monitoring.cache_metrics_monitoring as select * from monitoring.cache_metrics_monitoring_aside;
alter view monitoring.cache_metrics_monitoring alter column timestamp set default now();
create trigger write_through instead of insert or update or delete on monitoring.cache_metrics_monitoring
for each row execute function monitoring.write_through('gen_random_uuid()');

alter table monitoring.events rename to events_aside;
create view monitoring.events as select * from monitoring.events_aside;
create trigger write_through instead of insert or update or delete on monitoring.events
for each row execute function monitoring.write_through('nextval(''monitoring.events_id_seq'')');

alter table monitoring.dlq_table rename to dlq_table_aside;
create view monitoring.dlq_table as select * from monitoring.dlq_table_aside;
alter view monitoring.dlq_table alter column retry_count set default 0;
alter view monitoring.dlq_table alter column max_retries set default 5;
alter view monitoring.dlq_table alter column created_at set default now();
create trigger write_through instead of insert or update or delete on monitoring.dlq_table
for each row execute function monitoring.write_through('nextval(''monitoring.dlq_table_id_seq'')');

grant all on
monitoring.monitoring_events, monitoring.validation_metrics, monitoring.cache_metrics_monitoring,
monitoring.events, monitoring.dlq_table to service_role;
