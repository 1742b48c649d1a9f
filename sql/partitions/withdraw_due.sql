-- Take back the intents that no run has begun to carry out.
-- params: parent
delete from maintenance.retirement where parent = %(parent)s and state = 'due'
