-- Build on a loaded partition an index of its parent; ATTACH recognises it and builds nothing.
-- identifiers: partition
-- fragments: kind, definition
-- locks: SHARE on partition, which nobody else can see yet
create {kind} on {partition} {definition}
