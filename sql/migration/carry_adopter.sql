-- One branch of the question which source takes a target row that nobody owns.
-- fragments: adopts
-- literals: source_id
when ({adopts}) then {source_id}
