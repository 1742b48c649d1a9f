"""How the maintained database is doing: facts in one snapshot, findings with a remedy each.

Keep out: names of anybody's tables, and mending anything.
"""
