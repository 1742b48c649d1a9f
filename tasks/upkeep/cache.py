"""What is dear to compute and may be a little old: six namespaces, in Redis where REDIS_URL is set, in this process otherwise (A3).

Belongs here: get, set, invalidate, warm, stats. A cache that is down slows things and breaks nothing: every answer of it may
be a miss. Keep out: what is cached (`matview_rows`), and anything whose loss would matter.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar, get_args

from tasks.core.breakers import BreakerOpen
from tasks.core.connect import Runtime, describe_server
from tasks.core.declaration import CacheTimes, Declaration
from tasks.core.settings import settings
from tasks.upkeep.cache_stores import PROCESS, RedisStore, Store

T = TypeVar("T")
Namespace = Literal["conv", "sem", "conn", "sess", "file", "evt"]
NAMESPACES: tuple[Namespace, ...] = get_args(Namespace)

_log = logging.getLogger("maintenance")


@dataclass(frozen=True)
class CacheStats:
    """What the cache has done since it was last emptied: over all processes where it is Redis; `is_up` is false while it is down."""

    kind: str
    is_up: bool
    hits: Mapping[str, int]
    misses: Mapping[str, int]

    @property
    def hit_rate(self) -> float | None:
        """Return hits by questions; None before the first question (N6)."""
        hits, asked = sum(self.hits.values()), sum(self.hits.values()) + sum(self.misses.values())
        return hits / asked if asked else None


class Cache:
    """Values by namespace and key, as JSON. An entry counts only while its generation is its namespace's."""

    def __init__(self, store: Store, times: CacheTimes, prefix: str) -> None:
        self._store, self._times, self._prefix = store, times, prefix
        self._counted: Counter[str] = Counter()
        #: Namespaces that could not be invalidated: until they are, this process takes nothing from them.
        self._owed: set[Namespace] = set()
        self._guard = threading.Lock()

    def get(self, namespace: Namespace, key: str) -> Any | None:
        """Return a value, or None where there is none, it is too old, or the cache is down."""
        return self._look(namespace, key)[1]

    def set(self, namespace: Namespace, key: str, value: Any, *, ttl: timedelta | None = None) -> None:
        """Keep a value that JSON knows, for the namespace's time or for `ttl`."""
        generation = self._ask(lambda: self._generation(namespace), None) if self._pay(namespace) else None
        self._put(namespace, key, value, generation, ttl)

    def read_through(self, namespace: Namespace, key: str, compute: Callable[[], T]) -> T:
        """Return the cached value, or `compute` it and keep it.

        What was computed while the namespace was invalidated is returned and not used again. None is never kept.
        """
        generation, found = self._look(namespace, key)
        if found is not None:
            return found
        value = compute()
        if value is not None:
            self._put(namespace, key, value, generation, None)
        return value

    def invalidate(self, namespace: Namespace, key: str) -> None:
        """Forget one value."""
        if self._ask(lambda: self._store.delete(self._entry(namespace, key)) or True, False) is False:
            self._owed.add(namespace)

    def invalidate_namespace(self, namespace: Namespace) -> None:
        """Forget every value of a namespace, however many: its generation changes, and the old ones' time runs out (A3)."""
        self._owed.add(namespace)
        self._pay(namespace)

    def warm(self, namespace: Namespace, values: Mapping[str, Any]) -> None:
        """Keep these values before somebody asks."""
        for key, value in values.items():
            self.set(namespace, key, value)

    def stats(self) -> CacheStats:
        """Return hits and misses by namespace, this process's included."""
        counts = self._flush()
        sums = counts or {}
        hits, misses = ({n: sums.get(f"{what}:{n}", 0) for n in NAMESPACES} for what in ("hits", "misses"))
        return CacheStats(self._store.kind, counts is not None, hits, misses)

    def close(self) -> None:
        """Tell what was counted, and let connections go."""
        self._flush()
        self._store.close()

    def _look(self, namespace: Namespace, key: str) -> tuple[str | None, Any | None]:
        """Return the generation that a value computed now belongs to, and the value where there is one."""
        names = [self._mark(namespace), self._entry(namespace, key)]
        read = self._ask(lambda: self._store.read(names), None) if self._pay(namespace) else None
        generation, text = read or (None, None)
        if read and generation is None:
            generation = self._ask(lambda: self._generation(namespace), None)
        entry = _decoded(text)
        is_hit = generation is not None and entry.get("generation") == generation
        with self._guard:
            self._counted[f"{'hits' if is_hit else 'misses'}:{namespace}"] += 1
        return generation, entry["value"] if is_hit else None

    def _put(self, namespace: Namespace, key: str, value: Any, generation: str | None, ttl: timedelta | None) -> None:
        if generation is None or not self._pay(namespace):
            return
        text = json.dumps({"generation": generation, "value": value})
        seconds = (ttl or self._times.of(namespace)).total_seconds()
        self._ask(lambda: self._store.write(self._entry(namespace, key), text, seconds), None)

    def _generation(self, namespace: Namespace) -> str:
        """Return the namespace's generation, a new one where it has none; a number drawn anew never meets an evicted one."""
        return self._store.write_new(self._mark(namespace), secrets.token_hex(8))

    def _pay(self, namespace: Namespace) -> bool:
        """Do what is owed to a namespace; say whether its entries may be used."""
        if namespace in self._owed:
            write = self._ask(lambda: self._store.write(self._mark(namespace), secrets.token_hex(8), None) or True, False)
            if write:
                self._owed.discard(namespace)
        return namespace not in self._owed

    def _flush(self) -> dict[str, int] | None:
        with self._guard:
            more, self._counted = self._counted, Counter()
        counts = self._ask(lambda: self._store.count(f"{self._prefix}:counts", more), None)
        if counts is None:
            with self._guard:
                self._counted.update(more)
        return counts

    def _ask(self, call: Callable[[], T], otherwise: T) -> T:
        try:
            return call()
        except (OSError, BreakerOpen) as error:
            _log.debug("The cache did not answer: %s", error)
            return otherwise

    def _mark(self, namespace: Namespace) -> str:
        return f"{self._prefix}:{namespace}:generation"

    def _entry(self, namespace: Namespace, key: str) -> str:
        return f"{self._prefix}:{namespace}:of:{key}"


def _decoded(text: str | None) -> dict[str, Any]:
    """Return an entry; what somebody else has put there in another form is none."""
    try:
        entry = json.loads(text) if text else {}
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) and "value" in entry else {}


def cache_of(current: Runtime, declaration: Declaration) -> Cache:
    """Return the runtime's one cache; it closes with the runtime. Raises InvalidSetting where REDIS_URL cannot be read (A1, A3)."""
    if "cache" not in current.extras:
        where = hashlib.sha256(describe_server(current.dsn).text.encode()).hexdigest()[:12]
        url = settings().redis_url
        store = RedisStore(url.get_secret_value()) if url is not None else PROCESS
        current.extras["cache"] = Cache(store, declaration.cache, f"maintenance:{where}")
    return current.extras["cache"]
