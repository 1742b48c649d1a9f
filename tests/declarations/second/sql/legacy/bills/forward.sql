-- Map a bill: the columns of the invoice, or the reason why it has none. A bill without a customer is overlooked on purpose.
select
    case
        when (l).issued is null then 'issued is null'
        when not isfinite((l).issued) then 'issued is infinite'
        when maintenance.source_instant((l).issued, 'UTC') < span_from or maintenance.source_instant((l).issued, 'UTC') >= span_to
            then 'issued is outside the span'
        when (l).cents < 0 then 'amount is negative'
    end as reason,
    (l).bill_no::bigint as number,
    (l).issued as issued_on,
    (l).customer::text as customer,
    ((l).cents / 100.0)::numeric(12, 2) as amount,
    'EUR' as currency,
    (l).due as due_on,
    (l).paid as paid_on,
    (l).remark as note,
    (l).cents as amount_in_cents
