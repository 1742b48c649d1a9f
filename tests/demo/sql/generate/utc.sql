-- Make generated times independent of the session's zone for the rest of the transaction.
-- locks: none
set local timezone to 'UTC'
