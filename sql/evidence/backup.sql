-- What the sources can be restored from, should all else fail (M9).
-- params: declared
select
    d.facts ->> 'migration' as migration,
    d.facts ->> 'backup' as backup,
    coalesce(d.facts ->> 'backup', '') <> '' as is_declared
from (select %(declared)s::jsonb as facts) as d
