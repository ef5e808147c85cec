"""Raw data to instruction dataset, and from there to a regression report.

For scripts: ``datakit.read(path)`` gives a table, ``datakit.build(recipe, output=...)`` a dataset,
``datakit.run(recipe, output=...)`` the whole loop. Each is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datakit.build import build
    from datakit.sources import read

__all__ = ["build", "read", "run"]

_PLACES = {
    "build": "datakit.build:build",
    "read": "datakit.sources:read",
    "run": "datakit.experiment.run:run",
}


def __getattr__(name: str) -> Any:
    """Loads a public function on first use, so that importing ``datakit.core`` costs nothing."""
    if name not in _PLACES:
        raise AttributeError(f"module 'datakit' has no attribute '{name}'")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted(__all__)
