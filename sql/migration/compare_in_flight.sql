-- One branch of the question whether a target row's key is in the capture log; asked of sources that have any.
-- identifiers: owns, backward, key
-- literals: source_id
when {owns}(u)
    then (select b.{key}::text from {backward}(u) as b) in (select c.key from maintenance.capture as c where c.source_id = {source_id})
