create schema accounts;

create table accounts.invoices (
    number bigint not null,
    issued_on date not null,
    customer text not null,
    amount numeric(12, 2) not null check (amount >= 0),
    currency text not null default 'EUR',
    due_on date,
    paid_on date,
    note text not null default '',
    amount_in_cents bigint generated always as (amount * 100) stored,
    primary key (number, issued_on)
) partition by range (issued_on);

comment on table accounts.invoices is 'Invoices, one row each.';
comment on column accounts.invoices.note is 'What the customer asked to have printed.';

alter table accounts.invoices enable row level security;
create policy clerks_read on accounts.invoices for select to authenticated using (true);
create policy service_all on accounts.invoices to service_member using (true) with check (true);
revoke all on accounts.invoices from public, anon, authenticated, service_role;
grant usage on schema accounts to authenticated, service_role, anon;
grant select on accounts.invoices to authenticated;
grant select, insert, update, delete on accounts.invoices to service_role;
