-- Turn row level security on with the two standard policies, and grant as Supabase's default privileges do (all; RLS decides).
-- locks: ACCESS EXCLUSIVE on each table
grant usage on schema monitoring to authenticated, service_role;
grant all on all tables in schema monitoring to authenticated, service_role;
grant all on all sequences in schema monitoring to authenticated, service_role;

alter table monitoring.monitoring_events enable row level security;
create policy "service role all" on monitoring.monitoring_events to service_role using (true) with check (true);
create policy "authenticated read" on monitoring.monitoring_events for select to authenticated using (true);

alter table monitoring.validation_metrics enable row level security;
create policy "service role all" on monitoring.validation_metrics to service_role using (true) with check (true);
create policy "authenticated read" on monitoring.validation_metrics for select to authenticated using (true);

alter table monitoring.cache_metrics_monitoring enable row level security;
create policy "service role all" on monitoring.cache_metrics_monitoring to service_role using (true) with check (true);
create policy "authenticated read" on monitoring.cache_metrics_monitoring for select to authenticated using (true);

alter table monitoring.events enable row level security;
create policy "service role all" on monitoring.events to service_role using (true) with check (true);
create policy "authenticated read" on monitoring.events for select to authenticated using (true);

alter table monitoring.dlq_table enable row level security;
create policy "service role all" on monitoring.dlq_table to service_role using (true) with check (true);
create policy "authenticated read" on monitoring.dlq_table for select to authenticated using (true);
