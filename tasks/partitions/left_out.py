"""What a new partition will not have or not be in although its siblings are, because nobody said it of the parent (D3).

Belongs here: reading it for the plan and the result. Keep out: copying it: what belongs to every partition is declared on the
parent, where it holds for those to come. Adopted tables have such things: pg_partman's template makes keys on the
partitions alone, pagila its indexes and foreign keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.core.connect import Connection
from tasks.core.sqlfiles import fetch
from tasks.partitions.partition import Parent, Partition


@dataclass(frozen=True)
class LeftOut:
    """Publications that name partitions one by one, and what stands on partitions alone, each with how many have it."""

    publications: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()


NOTHING = LeftOut()


def read_left_out(conn: Connection, parent: Parent) -> LeftOut:
    """Return what new partitions of `parent` will lack. Locks: ACCESS SHARE on the catalog."""
    silent = fetch(conn, "partitions/silent_publications", parent=parent.oid)
    alone = fetch(conn, "partitions/only_on_partitions", parent=parent.oid)
    texts = tuple(f"{row['what']} ({row['partitions']} of them)" for row in alone)
    return LeftOut(tuple(row["publication"] for row in silent), texts)


def list_pending(existing: Iterable[Partition]) -> tuple[str, ...]:
    """Return the partitions whose detach was interrupted: their rows are hidden, and creation cannot mend it."""
    return tuple(str(partition.relation) for partition in existing if partition.is_pending_detach)
