-- Stop logging changes of the target.
-- identifiers: target
-- locks: ACCESS EXCLUSIVE on target
drop trigger maintenance_reverse_insert on {target};
drop trigger maintenance_reverse_update on {target};
drop trigger maintenance_reverse_delete on {target};
drop trigger maintenance_reverse_truncate on {target}
