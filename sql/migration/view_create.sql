-- Show the target's rows of one source as the legacy table did: to the roles that its policies let read (M4).
-- identifiers: view
-- fragments: columns, rows, condition
-- locks: ACCESS SHARE on the target
create view {view} as select {columns} from ({rows}) as v {condition}
