-- Create the schema that remembers, and the ledger of applied migrations, where they are absent (M1).
-- locks: none that matter
create schema if not exists maintenance;
create table if not exists maintenance.applied_migration (
    name text primary key,
    checksum text not null,
    applied_at timestamptz not null default clock_timestamp(),
    applied_by text not null default current_user
);
revoke all on schema maintenance from public
