-- Give a view the column defaults, rights and comment of the table whose name it takes; its key gets no default.
-- params: view, legacy, key
select
    maintenance.copy_defaults(%(legacy)s::regclass, %(view)s::regclass, %(key)s::name),
    maintenance.copy_grants(%(legacy)s::regclass, %(view)s::regclass)
