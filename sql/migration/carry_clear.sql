-- Empty the room for the next batch of the same transaction; the plans of what reads it stay good.
-- identifiers: room
delete from {room}
