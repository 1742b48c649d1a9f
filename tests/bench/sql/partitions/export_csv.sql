-- A partition as CSV, as COPY writes it.
-- identifiers: partition
copy {partition} to stdout (format csv)
