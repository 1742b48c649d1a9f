-- Validate the CHECKs of 0007: reads and writes go on, every row is looked at once, so the limit is that of bulk work (D6).
set local statement_timeout = '1h';
alter table unified.event_metric_events validate constraint event_metric_events_metadata_shape;
alter table public.sessions validate constraint sessions_metadata_shape;
alter table public.conversations validate constraint conversations_metadata_shape;
alter table public.messages validate constraint messages_metadata_shape;
alter table public.files validate constraint files_metadata_shape;
