-- Build an index on one partition of a table that nobody but maintenance writes yet.
-- identifiers: partition
-- fragments: kind, definition
-- locks: SHARE on partition: writers wait, which before a cutover are none
create {kind} on {partition} {definition}
