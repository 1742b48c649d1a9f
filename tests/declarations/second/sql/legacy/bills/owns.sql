-- Say whether an invoice came from bills: their numbers end where an integer does.
select (u).number <= 2147483647
