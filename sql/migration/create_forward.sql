-- Install the forward mapping of one source: its row to the target's columns by name, or the reason why not.
-- identifiers: function, source
-- fragments: columns, names, query
-- literals: text
-- locks: none on relations
create function {function}(l {source}, span_from timestamptz, span_to timestamptz)
returns table (reason text, {columns}) language sql stable parallel safe
begin atomic
    select m.reason, {names} from ({query}) as m;
end;
revoke execute on function {function}({source}, timestamptz, timestamptz) from public;
comment on function {function}({source}, timestamptz, timestamptz) is {text}
