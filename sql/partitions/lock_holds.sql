-- Let no hold be placed between the last look at them and the commit that removes something.
-- locks: SHARE on maintenance.hold
lock table maintenance.hold in share mode
