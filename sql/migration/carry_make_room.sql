-- Make room for the target's rows of one batch: they are looked up once, not by every statement that needs them.
-- identifiers: target
-- locks: none that another session could want
create temporary table if not exists maintenance_carried (
    key text, at timestamptz, u {target}, primary key (key, at)
) on commit drop
