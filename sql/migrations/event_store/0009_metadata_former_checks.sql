-- Drop the CHECKs that those of 0007 replace; nothing is read (D6).
alter table unified.event_metric_events drop constraint event_metric_events_metadata_check;
alter table public.sessions drop constraint sessions_metadata_check;
alter table public.conversations drop constraint conversations_metadata_check;
alter table public.messages drop constraint messages_metadata_check;
alter table public.files drop constraint files_metadata_check;
