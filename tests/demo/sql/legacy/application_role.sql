-- Make the role an application logs in with: service_role's rights by membership, so its policies apply, not BYPASSRLS.
-- identifiers: role
-- literals: password
-- locks: none on relations
do $$
begin
    create role {role} login inherit nobypassrls;
exception when duplicate_object or unique_violation then null;
end $$;
alter role {role} password {password};
grant service_role to {role};
