"""Optional libraries, and our own packages in the presence of a user's ``train.py``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from datakit.core.errors import DatakitError, MissingDependency

__all__ = ["own_package", "require"]


def require(module: str, *, extra: str) -> Any:
    """Imports an optional library.

    Raises:
        MissingDependency: It is not installed; the hint names the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingDependency(
            f"this needs {module.split('.')[0]}, which is not installed",
            hint=f'Install it with: pip install "datakit[{extra}]"',
        ) from None


def own_package(name: str) -> ModuleType:
    """Imports our package ``train`` or ``evalkit`` although a script of that name may lie in the user's folder.

    A user's ``train.py`` stands before site-packages on ``sys.path``. Ours is imported from where datakit lies.

    Raises:
        DatakitError: A foreign module of that name is imported already.
    """
    root = Path(__file__).resolve().parents[2]
    loaded = sys.modules.get(name)
    if loaded is None:
        sys.path.insert(0, str(root))
        try:
            loaded = importlib.import_module(name)
        finally:
            sys.path.remove(str(root))
    origin = getattr(loaded, "__file__", None)
    if origin is None or Path(origin).resolve().parent != root / name:
        raise DatakitError(
            f"the module '{name}' imported from '{origin}' hides datakit's package of that name",
            hint="Import datakit before it, or rename the file",
        )
    return loaded
