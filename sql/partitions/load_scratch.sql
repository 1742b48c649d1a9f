-- Load rows as CSV: an empty field is null, a quoted one is text.
-- identifiers: scratch
-- fragments: columns
copy {scratch} ({columns}) from stdin (format csv, encoding 'UTF8')
