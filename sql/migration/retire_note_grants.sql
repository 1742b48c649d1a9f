-- Note what a legacy table grants before it goes: the health report holds the view under its name against it.
-- params: source_id, relation_oid
update maintenance.source set retired_grants = maintenance.grants_on(%(relation_oid)s) where id = %(source_id)s
