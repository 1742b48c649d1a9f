-- Make room for the target's rows of one batch: they are looked up once, not by every statement that carries them.
-- identifiers: target
-- locks: none that another session could want
drop table if exists pg_temp.maintenance_carried;
create temporary table maintenance_carried (key text, at timestamptz, u {target}) on commit drop
