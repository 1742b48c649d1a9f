-- The database's clock: read once, in a flow, when as_of is not given.
select clock_timestamp() as now
