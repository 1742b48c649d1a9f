-- Let a trigger of the table aside rest: what is carried back there has been through it already.
-- identifiers: relation, trigger
-- locks: SHARE ROW EXCLUSIVE on relation
alter table {relation} disable trigger {trigger}
