-- Let a function take what is written through a view; INSTEAD OF triggers fire in order of their names.
-- identifiers: trigger, view
-- fragments: timing, events, level, call
-- locks: SHARE ROW EXCLUSIVE on view
create trigger {trigger} {timing} {events} on {view} for each {level} execute function {call}
