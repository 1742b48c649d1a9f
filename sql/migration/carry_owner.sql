-- One branch of the question which source owns a target row.
-- identifiers: owns
-- literals: source_id
when maintenance.{owns}(u) then {source_id}
