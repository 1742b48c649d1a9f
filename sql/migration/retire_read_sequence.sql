-- What the sequence of an identity key would give next, and its steps.
-- identifiers: sequence
-- params: name
select
    case when s.is_called then s.last_value + q.seqincrement else s.last_value end as next,
    q.seqincrement as increment
from {sequence} as s
inner join pg_catalog.pg_sequence as q on q.seqrelid = %(name)s::regclass
