"""The user's own modules, as recipes name them (``module:function``): a file beside the recipe, or an installed one."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from datakit.core.hashing import digest

__all__ = ["load_module", "module_file"]


def module_file(name: str, folder: Path) -> Path:
    """Where a module of that name lies in a folder, if it lies there."""
    return folder / f"{name.removesuffix('.py').replace('.', '/')}.py"


def load_module(name: str, folder: Path) -> ModuleType:
    """A file of the folder under a name of its own (it may be called ``train.py``), else an installed module.

    Raises:
        ImportError: There is none, or it imports what is not there.
        SyntaxError: It is no Python.
    """
    file = module_file(name, folder)
    if not file.is_file():
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(f"datakit_own_{digest(str(file.resolve()))[:12]}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"'{file.name}' is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module
