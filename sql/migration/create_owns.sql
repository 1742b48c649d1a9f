-- Install the predicate that says which rows of the target belong to one source.
-- identifiers: function, target
-- fragments: query
-- literals: text
-- locks: none on relations
create function {function}(u {target}) returns boolean language sql immutable parallel safe
begin atomic
    {query};
end;
grant execute on function {function}({target}) to public;
comment on function {function}({target}) is {text}
