"""Where the cache's entries stand: in Redis, or in this process (A3).

Belongs here: texts by name, with a time to live, and counters. Keep out: namespaces, generations, JSON (`cache`).
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from cachetools import TLRUCache

from tasks.core.breakers import Dependency, guarded
from tasks.core.errors import InvalidSetting
from tasks.core.settings import without_secrets

#: A cache that does not answer by then is slower than what it spares.
REDIS_WAIT_S = 0.5
#: Entries that one process holds where there is no Redis.
PROCESS_ENTRIES = 10_000


class Store(Protocol):
    """Where entries stand: texts by name. Every method may raise OSError, which the cache turns into a miss."""

    kind: str

    def read(self, names: list[str]) -> list[str | None]:
        """Return the texts of these names, None for what is not there."""
        ...

    def write(self, name: str, text: str, seconds: float | None) -> None:
        """Put a text for so long."""
        ...

    def write_new(self, name: str, text: str) -> str:
        """Put a text where there is none; return what stands there then."""
        ...

    def delete(self, name: str) -> None:
        """Forget a text."""
        ...

    def count(self, name: str, more: Mapping[str, int]) -> dict[str, int]:
        """Add to counters and return them all."""
        ...

    def close(self) -> None:
        """Let connections go."""
        ...


class ProcessStore:
    """Entries of this process alone, the least used leaving first."""

    kind = "this process"

    def __init__(self) -> None:
        self._texts: TLRUCache[str, tuple[float, str]] = TLRUCache(PROCESS_ENTRIES, ttu=lambda _, entry, now: now + entry[0])
        self._counts: dict[str, Counter[str]] = {}
        self._guard = threading.Lock()

    def read(self, names: list[str]) -> list[str | None]:
        """Return the texts of these names, None for what is not there."""
        with self._guard:
            found = [self._texts.get(name) for name in names]
        return [entry[1] if entry else None for entry in found]

    def write(self, name: str, text: str, seconds: float | None) -> None:
        """Put a text for so long, or for good."""
        with self._guard:
            self._texts[name] = (math.inf if seconds is None else seconds, text)

    def write_new(self, name: str, text: str) -> str:
        """Put a text where there is none; return what stands there then."""
        with self._guard:
            return self._texts.setdefault(name, (math.inf, text))[1]

    def delete(self, name: str) -> None:
        """Forget a text."""
        with self._guard:
            self._texts.pop(name, None)

    def count(self, name: str, more: Mapping[str, int]) -> dict[str, int]:
        """Add to counters and return them all."""
        with self._guard:
            counts = self._counts.setdefault(name, Counter())
            counts.update(more)
            return dict(counts)

    def close(self) -> None:
        """Keep everything: the next run in this process goes on with it."""


#: The one that every runtime of this process uses.
PROCESS = ProcessStore()


class RedisStore:
    """Entries in Redis, asked under its breaker; its errors arrive as OSError (A8)."""

    kind = "redis"

    def __init__(self, url: str) -> None:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        waits = {"socket_connect_timeout": REDIS_WAIT_S, "socket_timeout": REDIS_WAIT_S, "retry": Retry(NoBackoff(), 0)}
        try:
            self._client: Any = redis.Redis.from_url(url, decode_responses=True, **waits)
        except ValueError as error:
            raise InvalidSetting("REDIS_URL", without_secrets(str(error))) from None
        parts = urlsplit(url)
        self._address = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path

    def read(self, names: list[str]) -> list[str | None]:
        """Return the texts of these names, None for what is not there."""
        return self._asked(lambda client: client.mget(names))

    def write(self, name: str, text: str, seconds: float | None) -> None:
        """Put a text for so long, or for good."""
        self._asked(lambda client: client.set(name, text, px=None if seconds is None else max(1, round(seconds * 1000))))

    def write_new(self, name: str, text: str) -> str:
        """Put a text where there is none; return what stands there then."""
        return self._asked(lambda client: client.pipeline().set(name, text, nx=True).get(name).execute())[1]

    def delete(self, name: str) -> None:
        """Forget a text."""
        self._asked(lambda client: client.delete(name))

    def count(self, name: str, more: Mapping[str, int]) -> dict[str, int]:
        """Add to counters and return them all."""

        def add(client: Any) -> list[Any]:
            pipeline = client.pipeline()
            for field, number in more.items():
                pipeline.hincrby(name, field, number)
            return pipeline.hgetall(name).execute()

        return {field: int(number) for field, number in self._asked(add)[-1].items()}

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def _asked(self, call: Callable[[Any], Any]) -> Any:
        """Ask under the breaker; whatever Redis refuses becomes an OSError, since no caller can do anything about it."""
        import redis

        try:
            with guarded(Dependency.REDIS, self._address):
                return call(self._client)
        except redis.RedisError as error:
            raise OSError(without_secrets(str(error))) from error
