-- Make a partition's index part of its parent's; the parent's becomes valid with the last one.
-- identifiers: parent_index, index
-- locks: SHARE UPDATE EXCLUSIVE on parent_index, ACCESS EXCLUSIVE on index (readers of the partition hold ACCESS SHARE on it)
alter index {parent_index} attach partition {index}
