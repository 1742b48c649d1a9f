-- Tell PostgREST, where there is one, that names mean something else now; heard at commit.
notify pgrst, 'reload schema'
