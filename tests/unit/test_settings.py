"""DATABASE_URL is read unambiguously or refused, and what stands in it is never repeated."""

from __future__ import annotations

import pytest

from tasks.core.errors import InvalidDatabaseUrl, InvalidSetting
from tasks.core.settings import database_url, settings


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://maintainer:s3cret@db.example.org:5432/postgres",
        "postgresql://maintainer:s3%40cret@[::1]/postgres?sslmode=require",
        "postgresql://maintainer@a:5432,b:5433/postgres",
        "host=/var/run/postgresql user=maintainer dbname=postgres",
        "service=maintenance",
    ],
)
def test_a_connection_string_is_returned_as_it_is(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    assert database_url() == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql:/maintainer:s3cret@db.example.org/postgres", "the driver cannot read it"),
        ("mysql://maintainer:s3cret@db.example.org/postgres", "the driver cannot read it"),
        ("postgresql://maintainer:s3cret%zz@db.example.org/postgres", "the driver cannot read it"),
        ("host=db.example.org password=s3cret with-a-space s3cret", "the driver cannot read it"),
        ("postgresql://maintainer:an@s3cret@db.example.org/postgres", "its password ends too early"),
        ("postgresql://maintainer:an/s3cret@db.example.org/postgres", "its password ends too early"),
        ("postgresql://maintainer:1/s3cret@db.example.org/postgres", "its password ends too early"),
        ("postgresql://db.example.org:s3cret/postgres", "its port is not a number"),
    ],
)
def test_one_that_would_be_quoted_or_misread_is_refused_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, url: str, reason: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    with pytest.raises(InvalidDatabaseUrl, match=reason) as caught:
        database_url()

    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_setting_of_another_type_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINTENANCE_ALLOW_FUTURE", "perhaps")

    with pytest.raises(InvalidSetting, match="MAINTENANCE_ALLOW_FUTURE is refused: Input should be a valid boolean"):
        settings()


def test_an_empty_setting_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINTENANCE_ALLOW_FUTURE", "")

    assert settings().maintenance_allow_future is False


def test_an_environment_is_parsed_once_and_anew_where_it_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINTENANCE_ALLOW_FUTURE", "0")
    first = settings()

    assert settings() is first
    monkeypatch.setenv("MAINTENANCE_ALLOW_FUTURE", "1")
    assert settings().maintenance_allow_future is True
