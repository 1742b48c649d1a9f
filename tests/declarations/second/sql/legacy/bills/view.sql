-- Show the invoices that came from bills under the old name.
-- identifiers: target, backward, owns
select
    b.bill_no,
    b.customer::varchar(80) as customer,
    b.cents,
    b.issued,
    b.due,
    b.paid,
    b.remark
from {target} as u
cross join lateral {backward}(u) as b
where {owns}(u)
