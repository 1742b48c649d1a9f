-- Delete legacy rows by their keys.
-- identifiers: aside, key
-- fragments: key_type
-- params: legacy_keys
-- locks: ROW EXCLUSIVE on the table aside
delete from {aside} as l where l.{key} = any (%(legacy_keys)s::{key_type}[])
