-- Metadata held to its one shape by a cast to a domain: the server keeps a domain's rule planned for the session, while the text
-- of a CHECK is read and planned anew by every statement (D6, docs/decisions/0005). Same accepted set as the CHECK beside it.
-- Nothing is read here; 0008 validates under writes, 0009 drops the former CHECK.
create domain unified.standard_metadata as jsonb
constraint standard_metadata_shape check (
    value = '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
    or (
        value @> '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
        and coalesce(value -> 'wrapped' = 'true'::jsonb, true)
        and coalesce(jsonb_typeof(value -> 'legacy') = 'object', true)
        and value - '{version,schema,fields,wrapped,legacy}'::text[] = '{}'::jsonb
    )
);
comment on domain unified.standard_metadata is
'Metadata in its one shape, held by CHECKs that cast to it; no column has this type (D6).';
comment on constraint standard_metadata_shape on domain unified.standard_metadata is
'Most rows hold exactly the empty shape, which one comparison settles. No part of this is ever NULL, but for NULL itself.';

alter table unified.event_metric_events
add constraint event_metric_events_metadata_shape check (event_metadata::unified.standard_metadata is not null) not valid;
alter table public.sessions
add constraint sessions_metadata_shape check (metadata::unified.standard_metadata is not null) not valid;
alter table public.conversations
add constraint conversations_metadata_shape check (metadata::unified.standard_metadata is not null) not valid;
alter table public.messages
add constraint messages_metadata_shape check (metadata::unified.standard_metadata is not null) not valid;
alter table public.files
add constraint files_metadata_shape check (metadata::unified.standard_metadata is not null) not valid;

comment on constraint event_metric_events_metadata_shape on unified.event_metric_events is
'Holds event_metadata to its one shape without touching the row (D6).';
comment on constraint sessions_metadata_shape on public.sessions is 'Holds metadata to its one shape (D6).';
comment on constraint conversations_metadata_shape on public.conversations is 'Holds metadata to its one shape (D6).';
comment on constraint messages_metadata_shape on public.messages is 'Holds metadata to its one shape (D6).';
comment on constraint files_metadata_shape on public.files is 'Holds metadata to its one shape (D6).';
