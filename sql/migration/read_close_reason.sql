-- Why a request for an approval is open no longer.
-- params: request_id
select close_reason from maintenance.approval_request where id = %(request_id)s
