-- Say on the view what it is, beside what the table's comment said.
-- identifiers: view
-- literals: comment
-- locks: ACCESS EXCLUSIVE on view
comment on view {view} is {comment}
