-- Give the session the zone of the application's server, as it stands in the ledger.
-- params: zone
-- locks: none
select set_config('TimeZone', %(zone)s, false), now()
