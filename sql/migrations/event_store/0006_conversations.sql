-- Conversations, their messages and their files (D10, D6, D11, D12).
do $$
declare
    found text;
begin
    select string_agg(name, ', ') into found
    from unnest(array['conversations', 'messages', 'files', 'message_role', 'file_type']) as name
    where to_regclass('public.' || name) is not null or to_regtype('public.' || name) is not null;
    if found is not null then
        raise exception 'in schema public there exist already and were not made by these migrations: %; rename them aside and apply again, then copy their rows over', found
        using errcode = 'duplicate_table';
    end if;
end $$;

create type public.message_role as enum ('user', 'assistant', 'system', 'tool');
comment on type public.message_role is 'Who speaks in a message.';
create type public.file_type as enum ('user_upload', 'generated', 'attachment', 'cache');
comment on type public.file_type is 'Where a file comes from.';

create table public.conversations (
    id uuid not null default gen_random_uuid(),
    continuation_id text not null,
    title text,
    user_id varchar(100),
    metadata jsonb not null default '{"version": "1.0", "schema": "standard", "fields": {}}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint conversations_pkey primary key (id),
    constraint conversations_continuation_id_key unique (continuation_id),
    constraint conversations_continuation_id_check check (length(continuation_id) between 1 and 500),
    -- The one shape of unified.event_metric_events (D6), here and twice below.
    constraint conversations_metadata_check check (
        metadata = '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
        or (
            metadata @> '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
            and coalesce(metadata -> 'wrapped' = 'true'::jsonb, true)
            and coalesce(jsonb_typeof(metadata -> 'legacy') = 'object', true)
            and metadata - '{version,schema,fields,wrapped,legacy}'::text[] = '{}'::jsonb
        )
    )
);
create index conversations_user on public.conversations (user_id) where user_id is not null;

create table public.messages (
    id uuid not null default gen_random_uuid(),
    conversation_id uuid not null,
    role public.message_role not null,
    content text not null,
    metadata jsonb not null default '{"version": "1.0", "schema": "standard", "fields": {}}',
    idempotency_key text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint messages_pkey primary key (id),
    constraint messages_conversation_id_fkey foreign key (conversation_id)
    references public.conversations (id) on delete cascade,
    constraint messages_idempotency_key unique (conversation_id, idempotency_key),
    constraint messages_idempotency_key_check check (length(idempotency_key) between 1 and 255),
    constraint messages_metadata_check check (
        metadata = '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
        or (
            metadata @> '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
            and coalesce(metadata -> 'wrapped' = 'true'::jsonb, true)
            and coalesce(jsonb_typeof(metadata -> 'legacy') = 'object', true)
            and metadata - '{version,schema,fields,wrapped,legacy}'::text[] = '{}'::jsonb
        )
    )
);
create index messages_conversation on public.messages (conversation_id, created_at);

create table public.files (
    id uuid not null default gen_random_uuid(),
    conversation_id uuid,
    user_id varchar(100),
    storage_path text not null,
    original_name text not null,
    mime_type text,
    size_bytes bigint,
    file_type public.file_type not null default 'user_upload',
    metadata jsonb not null default '{"version": "1.0", "schema": "standard", "fields": {}}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint files_pkey primary key (id),
    constraint files_conversation_id_fkey foreign key (conversation_id)
    references public.conversations (id) on delete cascade,
    constraint files_storage_path_key unique (storage_path),
    constraint files_storage_path_check check (octet_length(storage_path) between 1 and 1024),
    constraint files_original_name_check check (original_name <> ''),
    constraint files_size_bytes_check check (size_bytes >= 0),
    constraint files_metadata_check check (
        metadata = '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
        or (
            metadata @> '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
            and coalesce(metadata -> 'wrapped' = 'true'::jsonb, true)
            and coalesce(jsonb_typeof(metadata -> 'legacy') = 'object', true)
            and metadata - '{version,schema,fields,wrapped,legacy}'::text[] = '{}'::jsonb
        )
    )
);
create index files_conversation on public.files (conversation_id) where conversation_id is not null;
create index files_user on public.files (user_id) where user_id is not null;

create trigger set_updated_at before update on public.conversations
for each row
when (
    new.updated_at is not distinct from old.updated_at
    and current_setting('maintenance.keep_updated_at', true) is distinct from 'on'
)
execute function unified.set_updated_at();
create trigger set_updated_at before update on public.messages
for each row
when (
    new.updated_at is not distinct from old.updated_at
    and current_setting('maintenance.keep_updated_at', true) is distinct from 'on'
)
execute function unified.set_updated_at();
create trigger set_updated_at before update on public.files
for each row
when (
    new.updated_at is not distinct from old.updated_at
    and current_setting('maintenance.keep_updated_at', true) is distinct from 'on'
)
execute function unified.set_updated_at();

alter table public.conversations enable row level security;
alter table public.messages enable row level security;
alter table public.files enable row level security;
create policy "service role all" on public.conversations to service_role using (true) with check (true);
create policy "service role all" on public.messages to service_role using (true) with check (true);
create policy "service role all" on public.files to service_role using (true) with check (true);
create policy "authenticated read own" on public.conversations for select to authenticated
using (user_id = (select auth.uid())::text);
create policy "authenticated read own" on public.messages for select to authenticated
using (
    exists (
        select from public.conversations as c
        where c.id = messages.conversation_id and c.user_id = (select auth.uid())::text
    )
);
create policy "authenticated read own" on public.files for select to authenticated
using (user_id = (select auth.uid())::text);

-- Supabase's default privileges have granted everything to all three.
revoke all on public.conversations, public.messages, public.files from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.conversations, public.messages, public.files to service_role;
grant select on public.conversations, public.messages, public.files to authenticated;

-- A key that was used before gives back the message it stands for, so that a request sent twice is written once.
create function public.add_message(
    conversation_id uuid,
    role public.message_role,
    content text,
    idempotency_key text default null,
    metadata jsonb default '{"version": "1.0", "schema": "standard", "fields": {}}'
) returns public.messages
language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
declare
    written public.messages;
begin
    insert into public.messages (conversation_id, role, content, idempotency_key, metadata)
    values (
        add_message.conversation_id, add_message.role, add_message.content, add_message.idempotency_key, add_message.metadata
    )
    on conflict (conversation_id, idempotency_key) do nothing
    returning * into written;
    if found then
        return written;
    end if;
    select m.* into written from public.messages as m
    where m.conversation_id = add_message.conversation_id and m.idempotency_key = add_message.idempotency_key;
    if written.role is distinct from add_message.role or written.content is distinct from add_message.content then
        raise exception 'the idempotency key % of conversation % stands for another message',
            add_message.idempotency_key, add_message.conversation_id
        using errcode = 'unique_violation', hint = 'Send a different message under a key of its own.';
    end if;
    return written;
end;
$$;
revoke execute on function public.add_message(uuid, public.message_role, text, text, jsonb)
from public, anon, authenticated, service_role;
grant execute on function public.add_message(uuid, public.message_role, text, text, jsonb) to service_role;
comment on function public.add_message(uuid, public.message_role, text, text, jsonb) is
'Adds a message and returns it. Called again with the same key it returns the first one; another role or content under that key is an error.';

comment on table public.conversations is 'Conversations; messages and files go with theirs.';
comment on column public.conversations.id is 'The conversation.';
comment on column public.conversations.continuation_id is 'The name under which the application continues it; 1 to 500 characters.';
comment on column public.conversations.title is 'What people call it.';
comment on column public.conversations.user_id is
'Whose it is; who signs in under this id may read it and its messages. NULL: the service role alone.';
comment on column public.conversations.metadata is
'Always {"version": "1.0", "schema": "standard", "fields": {…}}; in fields for example tool_name, model_used, provider_used.';
comment on column public.conversations.created_at is 'When it began.';
comment on column public.conversations.updated_at is
'When the row was last changed; set by a trigger where the statement leaves it as it was.';

comment on table public.messages is 'Messages of conversations.';
comment on column public.messages.id is 'The message.';
comment on column public.messages.conversation_id is 'The conversation it belongs to and goes with.';
comment on column public.messages.role is 'Who speaks.';
comment on column public.messages.content is 'What is said.';
comment on column public.messages.metadata is
'Always {"version": "1.0", "schema": "standard", "fields": {…}}; in fields for example model_used, token_usage, response_time_ms.';
comment on column public.messages.idempotency_key is
'Names the request that wrote it, once in a conversation; the same request again is answered with this row. 1 to 255 characters.';
comment on column public.messages.created_at is 'When it was written.';
comment on column public.messages.updated_at is
'When the row was last changed; set by a trigger where the statement leaves it as it was.';

comment on table public.files is
'Files in the store: where each lies and what it is. The objects themselves are not removed with these rows.';
comment on column public.files.id is 'The file.';
comment on column public.files.conversation_id is 'The conversation it belongs to and goes with; NULL for a file of none.';
comment on column public.files.user_id is 'Whose it is; who signs in under this id may read it. NULL: the service role alone.';
comment on column public.files.storage_path is 'Where it lies in the store; up to 1024 bytes.';
comment on column public.files.original_name is 'What it was called where it came from.';
comment on column public.files.mime_type is 'What its content is, as type/subtype; NULL where not known.';
comment on column public.files.size_bytes is 'How large it is; NULL where not known.';
comment on column public.files.file_type is 'Where it comes from.';
comment on column public.files.metadata is
'Always {"version": "1.0", "schema": "standard", "fields": {…}}; in fields for example sha256, encoding, access_count.';
comment on column public.files.created_at is 'When it was recorded.';
comment on column public.files.updated_at is
'When the row was last changed; set by a trigger where the statement leaves it as it was.';

comment on constraint conversations_metadata_check on public.conversations is 'Holds metadata to its one shape (D6).';
comment on constraint messages_metadata_check on public.messages is 'Holds metadata to its one shape (D6).';
comment on constraint files_metadata_check on public.files is 'Holds metadata to its one shape (D6).';
comment on constraint messages_idempotency_key on public.messages is 'A request is written once in a conversation.';
comment on trigger set_updated_at on public.conversations is
'Sets updated_at where the statement did not, unless maintenance.keep_updated_at is on.';
comment on trigger set_updated_at on public.messages is
'Sets updated_at where the statement did not, unless maintenance.keep_updated_at is on.';
comment on trigger set_updated_at on public.files is
'Sets updated_at where the statement did not, unless maintenance.keep_updated_at is on.';
comment on policy "service role all" on public.conversations is 'For a service role without BYPASSRLS.';
comment on policy "service role all" on public.messages is 'For a service role without BYPASSRLS.';
comment on policy "service role all" on public.files is 'For a service role without BYPASSRLS.';
comment on policy "authenticated read own" on public.conversations is 'Who is signed in sees the conversations of that user, and changes none.';
comment on policy "authenticated read own" on public.messages is 'Who is signed in sees the messages of that user''s conversations, and changes none.';
comment on policy "authenticated read own" on public.files is 'Who is signed in sees the files of that user, and changes none.';
comment on index public.conversations_user is 'The conversations of one user; the policy asks for them.';
comment on index public.messages_conversation is 'The messages of one conversation, in order.';
comment on index public.files_conversation is 'The files of one conversation; the cascade asks for them.';
comment on index public.files_user is 'The files of one user; the policy asks for them.';
