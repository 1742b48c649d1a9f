-- Keep new rows out of a default partition while some of its rows move: one that came meanwhile would refuse the ATTACH.
-- identifiers: partition
-- locks: SHARE ROW EXCLUSIVE on the default partition
lock table only {partition} in share row exclusive mode
