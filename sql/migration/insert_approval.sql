-- Keep a person's answer; the first answer stands.
-- params: request_id, decision, name, reason, sign_offs, valid_for
insert into maintenance.approval (request_id, decision, name, reason, sign_offs, valid_until)
values (
    %(request_id)s, %(decision)s, %(name)s, %(reason)s, %(sign_offs)s::text[], clock_timestamp() + %(valid_for)s::interval
)
on conflict (request_id) do nothing
returning request_id
