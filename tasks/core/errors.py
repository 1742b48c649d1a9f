"""The errors of maintenance: each a fact that names the object, the reason and the remedy.

Belongs here: the classes used by more than one room, and the kinds of failure.
A class's docstring is its message. `Retryable` says that the same call may succeed later.
Keep out: which foreign error is of which kind (`classify`), and the retrying itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar


class ErrorKind(StrEnum):
    """What kind of failure an error is (A4); the plan's five, and what they left in UNKNOWN."""

    #: Not reached, or lost on the way.
    NETWORK = "NETWORK"
    #: Reached, and refused for who asked.
    AUTH = "AUTH"
    #: Too much of something that is limited: sessions, requests, disk, memory.
    QUOTA = "QUOTA"
    #: What was asked does not fit the objects that are there.
    SCHEMA = "SCHEMA"
    #: The rows do not fit.
    DATA = "DATA"
    #: Somebody else holds it.
    LOCK = "LOCK"
    #: Lost against somebody else at the same time; nothing is left of the attempt.
    CONFLICT = "CONFLICT"
    #: It took longer than allowed, or was cancelled.
    TIMEOUT = "TIMEOUT"
    #: A rule of maintenance is not met; the message says which.
    RULE = "RULE"
    UNKNOWN = "UNKNOWN"


class MaintenanceError(Exception):
    """Maintenance could not continue."""

    #: Exit code of the command line (README lists them).
    exit_code = 1
    #: What kind of failure this is where no cause says more.
    failure: ClassVar[ErrorKind] = ErrorKind.UNKNOWN
    #: The field that may quote rows or what another session runs; whoever reads a kept failure may have no right to either.
    quoting: ClassVar[str | None] = None

    def __str__(self) -> str:
        """Render the class's docstring with the fields of this instance."""
        return self._render(vars(self))

    def without_quotes(self) -> str:
        """Render the same without what may quote rows or statements."""
        fields = vars(self)
        return self._render(
            {**fields, self.quoting: "(see the run's log)"} if self.quoting and fields[self.quoting] else fields
        )

    def _render(self, fields: Mapping[str, Any]) -> str:
        return " ".join((type(self).__doc__ or "").format(**fields).split())

    def __reduce__(self) -> tuple[Any, ...]:
        """Unpickle by position: a dataclass raised with keywords would not cross a process."""
        return type(self), tuple(vars(self).values())


class Retryable(MaintenanceError):
    """The same call may succeed later."""

    failure = ErrorKind.CONFLICT


class Permanent(MaintenanceError):
    """The same call fails again until somebody changes something."""

    failure = ErrorKind.RULE


@dataclass(eq=False)
class InvalidName(Permanent):
    """The name '{name}' cannot be used: {reason}. Use schema.name with at most 63 bytes each."""

    name: str
    reason: str


@dataclass(eq=False)
class InvalidDeclaration(Permanent):
    """{file} is not a valid declaration: at {where}: {reason}. {remedy}"""

    file: str
    where: str
    reason: str
    remedy: str = "Correct the key and run again; nothing was changed."


@dataclass(eq=False)
class NotDeclared(Permanent):
    """{kind} {name} is not declared in {file}. Declared are: {known}. Declare it there or name one of these."""

    kind: str
    name: str
    file: str
    known: str


@dataclass(eq=False)
class NoDatabase(Permanent):
    """DATABASE_URL is not set. Set it to a direct or session-mode connection, for example
    postgresql://maintainer@db.example.org:5432/postgres (with the password in PGPASSWORD or ~/.pgpass)."""


@dataclass(eq=False)
class InvalidDatabaseUrl(Permanent):
    """DATABASE_URL is not a connection string: {reason}. Write postgresql://user@host:5432/database; in a password percent-encode
    every character but letters, digits and -._~ or give it as PGPASSWORD or in ~/.pgpass. (It is not printed: it may hold one.)"""

    reason: str


@dataclass(eq=False)
class InvalidSetting(Permanent):
    """The environment variable {name} is refused: {reason}. Correct it or leave it away; nothing was changed."""

    name: str
    reason: str


@dataclass(eq=False)
class CannotConnect(Retryable):
    """Could not connect to {server}: {reason}. Check that the server runs and that DATABASE_URL names its host, port and
    database."""

    failure = ErrorKind.NETWORK
    server: str
    reason: str


@dataclass(eq=False)
class AccessRefused(Permanent):
    """{server} refused the login of {user}: {reason}. Check the user and the password in DATABASE_URL."""

    failure = ErrorKind.AUTH
    server: str
    user: str
    reason: str


@dataclass(eq=False)
class ServerTooOld(Permanent):
    """{server} runs PostgreSQL {version}; maintenance needs 15 or newer. Upgrade the server; nothing was changed."""

    server: str
    version: str


@dataclass(eq=False)
class PoolerRefused(Permanent):
    """{server} is a transaction-mode pooler (the backend changed from pid {first} to {second} between two transactions of one
    connection): session locks and DETACH CONCURRENTLY cannot work through it. Use the direct connection or session mode
    (on Supabase port 5432 instead of 6543)."""

    server: str
    first: int
    second: int


@dataclass(eq=False)
class MissingRight(Permanent):
    """{role} may not {action} {object}: {reason}. {remedy}"""

    failure = ErrorKind.AUTH
    role: str
    action: str
    object: str
    reason: str
    remedy: str


@dataclass(eq=False)
class MissingRelation(Permanent):
    """{relation} does not exist{where}. {remedy}"""

    failure = ErrorKind.SCHEMA
    relation: str
    where: str = ""
    remedy: str = "Create it or correct its name in the declaration; nothing was changed."


@dataclass(eq=False)
class UnsuitableRelation(Permanent):
    """{relation} cannot be maintained: {reason}. {remedy}"""

    failure = ErrorKind.SCHEMA
    relation: str
    reason: str
    remedy: str = "Nothing was changed."


@dataclass(eq=False)
class LockBusy(Retryable):
    """{relation} stayed locked for {waited_ms} ms while maintenance wanted to {action}. Held by: {holders}.
    Nothing was changed; the next run tries again."""

    failure = ErrorKind.LOCK
    quoting = "holders"
    relation: str
    action: str
    waited_ms: int
    holders: str


@dataclass(eq=False)
class RunLost(Retryable):
    """The run {run_id} no longer holds the lock of {subject} (its coordinating session ended), so this unit was not started.
    Run the flow again; it goes on where the ledger says."""

    run_id: int
    subject: str


@dataclass(eq=False)
class Overdue(Permanent):
    """{flow} of {subject} is overdue: {reason}; its last success was {last}, and {overdue_after} is allowed."""

    flow: str
    subject: str
    reason: str
    last: str
    overdue_after: str


@dataclass(eq=False)
class Unfinished(Permanent):
    """{flow} could not do everything that was due: {failures}"""

    quoting = "failures"
    flow: str
    failures: str
