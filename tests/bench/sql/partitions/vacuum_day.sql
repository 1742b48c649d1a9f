-- Give the room of deleted rows back.
-- identifiers: partition
-- transaction: none
vacuum {partition}
