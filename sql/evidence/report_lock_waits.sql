-- Waits for locks that were not granted at once, newest first.
-- params: at_most
select w.at, w.relation, w.action, w.waited_ms, w.granted, w.holders
from maintenance.lock_wait as w
order by w.id desc
limit %(at_most)s
