-- Show the invoices that came from bills under the old name.
-- identifiers: target, backward, owns
select
    b.bill_no,
    b.customer,
    b.cents,
    b.issued,
    b.due,
    b.paid,
    b.remark
from {target} as u
cross join lateral {backward}(u) as b
where {owns}(u)
