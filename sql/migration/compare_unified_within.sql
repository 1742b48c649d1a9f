-- Target rows of one unit; constant bounds, so that one partition is read.
-- identifiers: time
-- literals: lower, upper
u.{time} >= {lower} and u.{time} < {upper}
