-- Hold the definition of a legacy table still while its view is made; nobody who reads or writes it waits.
-- identifiers: relation
-- locks: SHARE UPDATE EXCLUSIVE on relation
lock table {relation} in share update exclusive mode
