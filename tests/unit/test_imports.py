"""A library that is loaded when it is first used."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tasks.core.imports import import_on_use


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a package with a heavy module on the path, which says when it is loaded."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    (folder / "__init__.py").write_text("loaded = []\n", encoding="utf-8")
    (folder / "heavy.py").write_text("import shelf\nshelf.loaded.append(1)\nanswer = 42\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("shelf", "shelf.heavy"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "shelf.heavy"


def test_a_deferred_module_loads_once_when_it_is_first_used(package: str) -> None:
    import_on_use(package)
    shelf = importlib.import_module("shelf")
    heavy = shelf.heavy
    assert shelf.loaded == []
    assert (heavy.answer, heavy.answer, shelf.loaded) == (42, 42, [1])


def test_a_module_that_is_loaded_or_not_installed_is_left_alone(package: str) -> None:
    import_on_use(package)
    deferred = sys.modules[package]
    import_on_use(package)
    import_on_use("no_such_package.module")
    import_on_use("shelf.no_such_module")
    assert sys.modules[package] is deferred
    assert "shelf.no_such_module" not in sys.modules
