"""Names of a package whose modules are loaded when one of them is first asked for (PEP 562)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def deferred(package: str, **modules: tuple[str, ...]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package: for each of its modules, the names that are looked up there."""
    homes = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get
