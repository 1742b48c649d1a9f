-- Some of the given rows as text.
-- literals: rows
select g.event_data::text, g.event_metadata::text from rules.given as g limit {rows}
