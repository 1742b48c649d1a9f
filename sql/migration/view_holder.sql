-- One branch of the question whose row holds an id and time.
-- identifiers: owns
-- literals: holder
when maintenance.{owns}(u) then {holder}
