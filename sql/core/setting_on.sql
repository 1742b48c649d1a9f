-- Whether a settings row says yes; no where it was never set.
-- params: name
select maintenance.setting_on(%(name)s) as is_on
