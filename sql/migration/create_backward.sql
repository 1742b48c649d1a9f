-- Install the backward mapping of one source: the target's row to the source's columns by name.
-- identifiers: function, target
-- fragments: columns, names, query
-- literals: text
-- locks: none on relations
create function {function}(u {target})
returns table ({columns}) language sql stable parallel safe
begin atomic
    select {names} from ({query}) as m;
end;
grant execute on function {function}({target}) to public;
comment on function {function}({target}) is {text}
