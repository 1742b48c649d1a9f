-- Say whether a unified row belongs to events: the range of ids made with its code, so that the primary key answers.
-- literals: code
select (u).id between maintenance.v8_id({code}, 0) and maintenance.v8_id({code}, 4611686018427387903)
