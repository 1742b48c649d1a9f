"""What the environment says, read once per process.

Belongs here: every environment variable that maintenance reads, with its type; secrets as SecretStr.
Keep out: what is maintained (`declaration`) and connecting (`connect`).
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.core.errors import InvalidDatabaseUrl, InvalidSetting, NoDatabase

PROJECT = Path(__file__).resolve().parents[2]
#: A bucket, then a prefix of words of the characters that Storage and every reader of paths take as they are.
STORAGE_ADDRESS = r"^storage://[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9_=-][A-Za-z0-9_.=-]*)*/?$"


class Settings(BaseSettings):
    """The environment of one process; each field is an environment variable of that name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    #: Direct or session-mode connection to the maintained database; without it every flow stops (design 11).
    database_url: SecretStr | None = None
    #: The declaration that is in force.
    maintenance_file: Path = PROJECT / "maintenance.yaml"
    #: Where archives and reports go when they stay on this machine.
    maintenance_output: Path = PROJECT / "build"
    #: Where archives of removed partitions go; below `maintenance_output` where it is not set.
    maintenance_archive: Path | None = None
    #: `storage://<bucket>/<prefix>`: where each archive is uploaded to once it is verified; it stays in the folder where not set.
    maintenance_archive_to: Annotated[str, Field(pattern=STORAGE_ADDRESS)] | None = None
    #: What becomes of the files in the folder once their upload is verified.
    maintenance_archive_local: Literal["keep", "remove"] = "keep"
    #: Set to 1 by tests and the demo alone: retention may be applied as of an instant to come (design 10).
    maintenance_allow_future: bool = False
    #: Set to 1 by `make demo|serve|test` alone: the only way to an embedded server.
    maintenance_embedded: bool = False
    supabase_url: str | None = None
    supabase_service_role_key: SecretStr | None = None
    redis_url: SecretStr | None = None


def settings() -> Settings:
    """Read the environment as it is now; raises InvalidSetting, which never repeats a value.

    Each transaction asks and parsing takes milliseconds, so an unchanged environment is not parsed again.
    """
    return _settings(frozenset(os.environ.items()))


@lru_cache(maxsize=1)
def _settings(_environment: frozenset[tuple[str, str]]) -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        wrong = error.errors(include_input=False)[0]
        raise InvalidSetting(str(wrong["loc"][0]).upper(), wrong["msg"]) from None


def switch(name: str) -> bool | None:
    """Return what the environment says of a toggle whose name the declaration gives, None where it is silent (M3).

    Raises InvalidSetting where it says neither yes nor no.
    """
    value = os.environ.get(name, "").strip()
    try:
        return TypeAdapter(bool).validate_python(value) if value else None
    except ValidationError as error:
        raise InvalidSetting(name, error.errors(include_input=False)[0]["msg"]) from None


def database_url() -> str:
    """Return DATABASE_URL; raises NoDatabase where it is not set, InvalidDatabaseUrl where it cannot be read unambiguously."""
    url = settings().database_url
    if url is None or not url.get_secret_value():
        raise NoDatabase
    _require_readable(url.get_secret_value())
    return url.get_secret_value()


#: What may hold a secret in a text of somebody else: a URL's password, a keyword of a connection string, a token.
_SECRETS = re.compile(
    r"(?<=://)[^\s/@]*:[^\s@]*(?=@)|(?<=password=)('(?:[^'\\]|\\.)*'|\S+)|\beyJ[\w-]+\.[\w-]+\.[\w-]+|\bsb_secret_\w+"
)


def without_secrets(text: str) -> str:
    """Return `text` with passwords, tokens and this environment's own secrets replaced by three stars."""
    for known in sorted(_known_secrets(), key=len, reverse=True):
        text = text.replace(known, "***")
    return _SECRETS.sub("***", text)


def _known_secrets() -> set[str]:
    """Return the environment's secrets, and the passwords inside its URLs."""
    now = settings()
    given = [now.database_url, now.supabase_service_role_key, now.redis_url]
    whole = {secret.get_secret_value() for secret in given if secret is not None}
    inside = {urlsplit(url).password or "" for url in whole if "://" in url and "[" not in url}
    inside |= {unquote(password) for password in inside} | {os.environ.get("PGPASSWORD", "")}
    return {secret for secret in whole | inside if len(secret) > 3}


def _require_readable(url: str) -> None:
    """Refuse what the driver would quote in its error, and what puts part of a password into host, port or database."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        raise InvalidDatabaseUrl(reason="the driver cannot read it") from None
    if any("@" in str(parts.get(name, "")) for name in ("host", "port", "dbname")):
        raise InvalidDatabaseUrl(reason="it has an @ in its host, port or database, so its password ends too early")
    if not set(str(parts.get("port", ""))) <= set("0123456789,"):
        raise InvalidDatabaseUrl(reason="its port is not a number")
