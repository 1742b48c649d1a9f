-- Take back what default privileges granted silently at creation (D8).
-- identifiers: partition
-- fragments: grantees
revoke all on {partition} from {grantees}
