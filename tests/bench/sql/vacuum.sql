-- Leave the legacy tables as an old table is: hint bits set, visibility known, statistics taken.
-- transaction: none
vacuum (freeze, analyze)
