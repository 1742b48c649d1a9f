-- Map an invoice back to the bill it came from.
select
    (u).number::integer as bill_no,
    (u).customer::varchar(80) as customer,
    (u).amount_in_cents as cents,
    (u).issued_on as issued,
    (u).due_on as due,
    (u).paid_on as paid,
    (u).note as remark
