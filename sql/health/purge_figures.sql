-- Forget figures that are older than declared.
-- params: before
delete from maintenance.health as h where h.taken_at < %(before)s
