"""What kind of failure an error is, and whether trying again can cure it (A4).

Belongs here: the tables from SQLSTATE, HTTP status, exception type and, last, text to a kind. Libraries' exceptions are
known by name, so that nothing is imported for them.
Keep out: the retrying itself (locks: `connect`; lost connections: the flows' tasks), and breakers.
"""

from __future__ import annotations

import re
from typing import Any

from tasks.core.errors import AccessRefused, CannotConnect, ErrorKind, LockBusy, MaintenanceError, Retryable, RunLost

#: By the longest prefix of the SQLSTATE.
SQLSTATES = {
    "08": ErrorKind.NETWORK,
    "57P": ErrorKind.NETWORK,  # the server ended the session, or is starting or stopping
    "57P04": ErrorKind.SCHEMA,  # the database was dropped
    "28": ErrorKind.AUTH,
    "42501": ErrorKind.AUTH,
    "53": ErrorKind.QUOTA,
    "40": ErrorKind.CONFLICT,
    "40002": ErrorKind.DATA,
    "55P03": ErrorKind.LOCK,
    "55006": ErrorKind.LOCK,
    "57014": ErrorKind.TIMEOUT,
    "25P03": ErrorKind.TIMEOUT,
    "25P04": ErrorKind.TIMEOUT,
    "21": ErrorKind.DATA,
    "22": ErrorKind.DATA,
    "23": ErrorKind.DATA,
    "44": ErrorKind.DATA,
    "0A": ErrorKind.SCHEMA,
    "26": ErrorKind.SCHEMA,
    "2B": ErrorKind.SCHEMA,
    "34": ErrorKind.SCHEMA,
    "3D": ErrorKind.SCHEMA,
    "3F": ErrorKind.SCHEMA,
    "42": ErrorKind.SCHEMA,
    "54": ErrorKind.SCHEMA,
    "55": ErrorKind.SCHEMA,
}
#: PostgREST's own codes, by group: no database, wrong request, stale schema, wrong token.
POSTGREST = {
    "PGRST0": ErrorKind.NETWORK,
    "PGRST1": ErrorKind.SCHEMA,
    "PGRST116": ErrorKind.DATA,  # not exactly one row
    "PGRST2": ErrorKind.SCHEMA,
    "PGRST3": ErrorKind.AUTH,
}
STATUSES = {
    400: ErrorKind.DATA,
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA,  # Supabase: the project is over its plan
    403: ErrorKind.AUTH,
    404: ErrorKind.SCHEMA,
    405: ErrorKind.SCHEMA,
    406: ErrorKind.DATA,
    408: ErrorKind.NETWORK,
    409: ErrorKind.DATA,
    410: ErrorKind.SCHEMA,
    413: ErrorKind.DATA,  # one file over the limit stays so
    415: ErrorKind.DATA,
    416: ErrorKind.DATA,
    422: ErrorKind.DATA,
    423: ErrorKind.LOCK,
    425: ErrorKind.NETWORK,
    429: ErrorKind.QUOTA,
    502: ErrorKind.NETWORK,
    503: ErrorKind.NETWORK,
    504: ErrorKind.NETWORK,
    507: ErrorKind.QUOTA,
    520: ErrorKind.NETWORK,
    521: ErrorKind.NETWORK,
    522: ErrorKind.NETWORK,
    523: ErrorKind.NETWORK,
    524: ErrorKind.NETWORK,
    540: ErrorKind.QUOTA,  # Supabase: the project is paused
    544: ErrorKind.NETWORK,  # Supabase Storage: its database did not answer
}
#: Types that say it all; the first one in the method resolution order counts.
TYPES = {
    "builtins.ConnectionError": ErrorKind.NETWORK,
    "builtins.TimeoutError": ErrorKind.NETWORK,
    "builtins.PermissionError": ErrorKind.AUTH,
    "socket.gaierror": ErrorKind.NETWORK,
    "ssl.SSLCertVerificationError": ErrorKind.AUTH,
    "httpx.TimeoutException": ErrorKind.NETWORK,
    "httpx.NetworkError": ErrorKind.NETWORK,
    "httpx.RemoteProtocolError": ErrorKind.NETWORK,
    "httpx.ProxyError": ErrorKind.NETWORK,
    "psycopg_pool.PoolTimeout": ErrorKind.NETWORK,
    "psycopg_pool.TooManyRequests": ErrorKind.QUOTA,
    "redis.exceptions.AuthenticationError": ErrorKind.AUTH,
    "redis.exceptions.AuthorizationError": ErrorKind.AUTH,
    "redis.exceptions.NoPermissionError": ErrorKind.AUTH,
    "redis.exceptions.BusyLoadingError": ErrorKind.NETWORK,
    "redis.exceptions.MaxConnectionsError": ErrorKind.QUOTA,
    "redis.exceptions.OutOfMemoryError": ErrorKind.QUOTA,
    "redis.exceptions.TimeoutError": ErrorKind.NETWORK,
}
#: Types that a driver uses for several kinds; the text is looked at first.
VAGUE_TYPES = {
    "psycopg.OperationalError": ErrorKind.NETWORK,
    "redis.exceptions.ConnectionError": ErrorKind.NETWORK,
    "supabase_auth.errors.AuthError": ErrorKind.AUTH,
}
#: The last resort, in this order. libpq gives no SQLSTATE for a refused connection, so these are its and the poolers' words.
TEXTS = (
    (ErrorKind.QUOTA, r"too many (clients|connections|requests)|remaining connection slots|max(imum)? (number of )?clients"),
    (ErrorKind.QUOTA, r"rate limit|quota|out of memory|no space left|disk full"),
    (ErrorKind.NETWORK, r"database system is (starting up|shutting down|in recovery mode|not yet accepting)"),
    (ErrorKind.AUTH, r"authentication failed|no password supplied|pg_hba\.conf|role .* does not exist|not permitted to log in"),
    (ErrorKind.AUTH, r"permission denied|invalid api key|jwt|unauthorized|forbidden|access denied|tenant or user not found"),
    (ErrorKind.SCHEMA, r"(database|relation|table|column|function|schema|bucket)\b.* (does not exist|not found)|schema cache"),
    (ErrorKind.NETWORK, r"connection.* (refused|reset|closed|timed out|lost)|timeout expired|timed out|broken pipe"),
    (ErrorKind.NETWORK, r"could not (connect|translate host)|name or service not known|name resolution|unreachable"),
    (ErrorKind.NETWORK, r"terminating connection|failed to resolve host|server disconnected|no route to host"),
)
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
#: ENOSPC and EDQUOT: the disk is full, or this user's share of it.
_FULL_DISK = (28, 122)
#: What trying again can cure: the plan's two, and a transaction that lost against another and left nothing behind.
CURABLE = frozenset({ErrorKind.NETWORK, ErrorKind.QUOTA, ErrorKind.CONFLICT})


def classify(error: BaseException) -> ErrorKind:
    """Return what kind of failure `error` is: by SQLSTATE and HTTP status first, its type next, its text last (A4).

    An error of ours is of its cause's kind, else of its class's.
    """
    if isinstance(error, MaintenanceError):
        return _ours(error)
    return (
        _by_code(error) or _by_status(error) or _by_type(error, TYPES) or _by_text(str(error)) or _by_type(error, VAGUE_TYPES)
    ) or ErrorKind.UNKNOWN


def is_retryable(error: BaseException) -> bool:
    """Say whether Prefect is to try again: our Retryable, or a foreign error of a kind that time can cure (A4).

    Not where a lock was busy, which was tried again near the connection, and not for a run that has ended (design 14).
    """
    if isinstance(error, MaintenanceError):
        return isinstance(error, Retryable) and not isinstance(error, LockBusy | RunLost)
    return classify(error) in CURABLE


def _ours(error: MaintenanceError) -> ErrorKind:
    cause = classify(error.__cause__) if error.__cause__ is not None else ErrorKind.UNKNOWN
    if isinstance(error, CannotConnect | AccessRefused):
        return _by_text(error.reason) or error.failure
    return error.failure if cause is ErrorKind.UNKNOWN else cause


def _by_code(error: BaseException) -> ErrorKind | None:
    """Look at the driver's SQLSTATE, or at a `code` that is one or is PostgREST's own."""
    code: Any = getattr(error, "sqlstate", None) or getattr(error, "code", None)
    if not isinstance(code, str) or not (_SQLSTATE.fullmatch(code) or code.startswith("PGRST")):
        return None
    table = POSTGREST if code.startswith("PGRST") else SQLSTATES
    return next((table[code[:length]] for length in range(len(code), 1, -1) if code[:length] in table), None)


def _by_status(error: BaseException) -> ErrorKind | None:
    """Look at a response's status, at Storage's `status`, or at a status that PostgREST's client gives as `code`."""
    response = getattr(error, "response", None)
    for said in (getattr(response, "status_code", None), getattr(error, "status", None), getattr(error, "code", None)):
        if isinstance(said, int | str) and str(said).isdecimal() and int(said) in STATUSES:
            return STATUSES[int(said)]
    return None


def _by_type(error: BaseException, table: dict[str, ErrorKind]) -> ErrorKind | None:
    if isinstance(error, OSError) and error.errno in _FULL_DISK:
        return ErrorKind.QUOTA
    names = (f"{of.__module__}.{of.__qualname__}" for of in type(error).__mro__)
    return next((table[name] for name in names if name in table), None)


def _by_text(text: str) -> ErrorKind | None:
    return next((kind for kind, words in TEXTS if re.search(words, text, re.IGNORECASE)), None)
