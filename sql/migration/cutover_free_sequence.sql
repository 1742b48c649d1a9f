-- Let the sequence of a key outlive the table aside: the view draws from it.
-- identifiers: sequence
-- locks: ACCESS EXCLUSIVE on sequence
alter sequence {sequence} owned by none
