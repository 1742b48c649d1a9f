"""Importing a heavy library when it is first used, where somebody else's module imports it at the start.

Belongs here: the deferral. Keep out: our own modules; an import inside a function says there what it costs.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys


def import_on_use(name: str) -> None:
    """Let `import name`, also in others' modules, load the submodule `name` when one of its attributes is first read.

    Nothing happens where it is loaded already or not installed. `package.module` only: the package itself is imported.
    """
    package, _, module = name.rpartition(".")
    if name in sys.modules or importlib.util.find_spec(package) is None:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    deferred = importlib.util.module_from_spec(spec)
    sys.modules[name] = deferred
    spec.loader.exec_module(deferred)
    # As the import system does; without it `from package import module` would look the module up, and so load it.
    setattr(sys.modules[package], module, deferred)
