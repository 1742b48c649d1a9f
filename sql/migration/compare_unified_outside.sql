-- Target rows beside every bounded partition: none, unless there is a default or an unbounded one.
-- identifiers: time
-- literals: lower, upper
(u.{time} is null or u.{time} < {lower} or u.{time} >= {upper})
