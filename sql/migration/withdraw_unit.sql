-- Forget a registered unit whose bounds nobody wants any more.
-- params: id
delete from maintenance.unit where id = %(id)s and state <> 'done'
