-- Put a trigger of a legacy table into the state it had before the cutover.
-- identifiers: relation, trigger
-- fragments: state
-- locks: SHARE ROW EXCLUSIVE on relation
alter table {relation} {state} trigger {trigger}
