"""The rooms of the maintenance engine: each decides in pure modules and acts through `sql/`.

Keep out: names of anybody's tables. Those stand in `maintenance.yaml`, `sql/` and `expectations/`.
"""

import os

# Arrow reads it once, when it is first imported, which pandas may do. Its own pool keeps what it once had (45 MB after a
# backup, 45 more after 30 archives) for a process that goes on without it; malloc gives it back.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
