-- Make a table of eight columns that is cut by days, with a key and two more indexes.
-- identifiers: parent
create table {parent} (
    id bigint not null,
    at timestamptz not null,
    kind text not null,
    source text,
    severity text,
    session_id text,
    data jsonb,
    value numeric,
    primary key (id, at)
) partition by range (at);
create index on {parent} (kind, at);
create index on {parent} (session_id, at) where session_id is not null
