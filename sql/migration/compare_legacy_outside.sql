-- Legacy rows whose time is null, infinite or outside every partition: the residue (requirement M2).
-- identifiers: time
-- fragments: time_type
-- literals: zone, lower, upper
(
    l.{time} is null
    or l.{time} < maintenance.past_time({lower}, {zone}, null::{time_type})
    or l.{time} >= maintenance.first_time({upper}, {zone}, null::{time_type})
)
and (
    maintenance.source_instant(l.{time}, {zone}) is null
    or maintenance.source_instant(l.{time}, {zone}) < {lower}
    or maintenance.source_instant(l.{time}, {zone}) >= {upper}
)
