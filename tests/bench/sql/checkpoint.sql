-- Write out what the turn before left, so that no turn pays for another.
-- transaction: none
checkpoint
