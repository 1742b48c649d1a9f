"""What the catalog says about a partitioned table and its partitions, as values that both sides of the room share.

Belongs here: frozen facts. Keep out: reading them (`catalog`) and judging them (`plan`, retention's rules). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tasks.core.names import Relation
from tasks.partitions.bounds import KeyType


@dataclass(frozen=True)
class Partition:
    """A direct child of a partitioned table, with bounds as the catalog has them.

    Bounds are aware datetimes; a key without time zone is read as UTC. None stands for MINVALUE, MAXVALUE, an infinity,
    or, on a default partition, for both.
    """

    relation: Relation
    lower: datetime | None
    upper: datetime | None
    #: A DETACH … CONCURRENTLY was interrupted: its rows are hidden from the parent until it is finalized.
    is_pending_detach: bool = False
    is_default: bool = False
    #: An ordinary table: neither partitioned itself nor foreign.
    is_leaf: bool = True


@dataclass(frozen=True)
class Likeness:
    """What a new partition takes over beside the parent's own definition, as SQL from the catalog's functions.

    `is_closed` is D8: row-level security on, no policy, no grant but the owner's. It is False only where the parent has no
    row-level security and the newest partition was made by somebody else: then that one's state is copied.
    """

    is_closed: bool = True
    has_rls: bool = True
    is_rls_forced: bool = False
    comment: str | None = None
    #: The clauses `with (…)` and `tablespace …`, or nothing.
    storage: str = ""
    #: `full` or `nothing`; None is the default or an index, which is set once the index exists.
    replica_identity: str | None = None
    #: Index of the parent whose counterpart is the replica identity.
    replica_index: int | None = None
    #: Roles that default privileges would grant to when this session creates a table, quoted.
    revoke_from: tuple[str, ...] = ()
    #: `select, insert` → `a_role`, copied from the newest partition; empty where the partition is closed.
    grants: tuple[tuple[str, str], ...] = ()
    #: Name and definition after `on …` of the policies copied from the newest partition.
    policies: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Parent:
    """A table that is partitioned by range over one column of time."""

    oid: int
    relation: Relation
    key: str
    key_type: KeyType
    owner: str
    has_rls: bool
    has_default: bool
    #: The session's role owns it itself, so a new table needs no change of owner.
    is_owned_by_session: bool
    likeness: Likeness
