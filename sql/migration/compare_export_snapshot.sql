-- Share this transaction's snapshot with the other sessions of a comparison (design 7).
select pg_export_snapshot() as snapshot, transaction_timestamp() as snapshot_at
