-- Legacy rows of one unit: a condition that the time index serves, and the exact one on the instant.
-- identifiers: time
-- fragments: time_type
-- literals: zone, lower, upper
l.{time} >= maintenance.first_time({lower}, {zone}, null::{time_type})
and l.{time} < maintenance.past_time({upper}, {zone}, null::{time_type})
and maintenance.source_instant(l.{time}, {zone}) >= {lower}
and maintenance.source_instant(l.{time}, {zone}) < {upper}
