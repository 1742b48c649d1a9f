-- Two legacy tables and a target with every kind of column that a comparison must tell apart; the ledger filled by hand.
create schema old;
create schema shop;
create type shop.mood as enum ('glad', 'sad');
create domain shop.amount as numeric(12, 2);

create table old.orders (
    number bigint primary key,
    placed timestamp,
    mood shop.mood not null default 'glad',
    doc json not null default '{"a": 1}',
    place point not null default '(1,2)',
    tags text[] not null default '{x}',
    price shop.amount not null default 1.50,
    span tstzrange not null default '[2025-01-01,2025-02-01)',
    bits bit varying not null default '101',
    note varchar(20),
    raw xml
);
create index on old.orders (placed);
create table old.refunds (key uuid primary key, given timestamptz, note text);
create index on old.refunds (given);

create table shop.moves (
    id uuid not null,
    day date not null,
    mood shop.mood,
    doc json,
    place point,
    tags text[],
    price shop.amount,
    span tstzrange,
    bits bit varying,
    note varchar(20),
    raw xml,
    primary key (id, day)
) partition by range (day);
create table shop.moves_p2025_03 partition of shop.moves for values from ('2025-03-01') to ('2025-04-01');
create table shop.moves_p2025_04 partition of shop.moves for values from ('2025-04-01') to ('2025-05-01');
create table shop.moves_p2025_06 partition of shop.moves for values from ('2025-06-01') to ('2025-07-01');

create function maintenance.small_1_forward(l old.orders, span_from timestamptz, span_to timestamptz)
returns table (
    reason text, id uuid, day date, mood shop.mood, doc json, place point, tags text[], price shop.amount, span tstzrange,
    bits bit varying, note varchar, raw xml
) language sql stable
begin atomic
    select
        case
            when (l).placed is null then 'time is null'
            when not isfinite((l).placed) then 'time is infinite'
            when maintenance.local_instant((l).placed, 'Europe/Berlin') < span_from
                or maintenance.local_instant((l).placed, 'Europe/Berlin') >= span_to then 'time is outside the span'
            when (l).note = 'refuse me' then 'note is refused'
        end,
        maintenance.v8_id(1, (l).number),
        (maintenance.local_instant((l).placed, 'Europe/Berlin') at time zone interval '0')::date,
        (l).mood, (l).doc, (l).place, (l).tags, (l).price, (l).span, (l).bits, (l).note, (l).raw;
end;
create function maintenance.small_1_owns(u shop.moves) returns boolean language sql immutable
begin atomic
    select (u).id between maintenance.v8_id(1, 0) and maintenance.v8_id(1, 4611686018427387903);
end;
create function maintenance.small_1_backward(u shop.moves)
returns table (number bigint, note varchar) language sql stable
begin atomic
    select maintenance.v8_key((u).id), (u).note;
end;

create function maintenance.small_2_forward(l old.refunds, span_from timestamptz, span_to timestamptz)
returns table (
    reason text, id uuid, day date, mood shop.mood, doc json, place point, tags text[], price shop.amount, span tstzrange,
    bits bit varying, note varchar, raw xml
) language sql stable
begin atomic
    select
        case
            when (l).given is null then 'time is null'
            when (l).given < span_from or (l).given >= span_to then 'time is outside the span'
        end,
        (l).key, ((l).given at time zone interval '0')::date, 'sad'::shop.mood, null::json, null::point, null::text[],
        null::shop.amount, null::tstzrange, null::bit varying, (l).note::varchar(20), null::xml;
end;
create function maintenance.small_2_owns(u shop.moves) returns boolean language sql immutable
begin atomic
    select (u).mood = 'sad' and not maintenance.is_v8_id((u).id);
end;
create function maintenance.small_2_backward(u shop.moves)
returns table (key uuid, note text) language sql stable
begin atomic
    select (u).id, (u).note::text;
end;

insert into maintenance.migration (name, target, phase, mapping_version, generation) values ('small', 'shop.moves', 'capturing', 'v', 1);
insert into maintenance.span (target, lower, upper) values ('shop.moves', '2025-03-01+00', '2025-07-01+00');
insert into maintenance.source (
    migration, code, relation, relation_oid, aside, position, key_column, key_type, time_column, time_type, zone, forward, backward, owns
)
values
('small', 1, 'old.orders', 'old.orders'::regclass, 'orders_legacy', 0, 'number', 'bigint', 'placed', 'timestamp without time zone', 'Europe/Berlin', 'small_1_forward', 'small_1_backward', 'small_1_owns'),
('small', 2, 'old.refunds', 'old.refunds'::regclass, 'refunds_legacy', 1, 'key', 'uuid', 'given', 'timestamp with time zone', 'UTC', 'small_2_forward', 'small_2_backward', 'small_2_owns');
