"""Optional libraries, and our own packages in the presence of a user's ``train.py``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from datakit.core.errors import DatakitError, MissingDependency

__all__ = ["own_package", "pip_line", "prefer_own_packages", "require"]

_ROOT = Path(__file__).resolve().parents[2]
_OWN = ("train", "evalkit")


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
            hint=f"Install it with: {pip_line(extra)}",
        ) from None


def pip_line(*extras: str) -> str:
    """The line that installs datakit with these extras from where this one came: a folder, or the package index."""
    import importlib.metadata
    import json
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    chosen = f"[{','.join(extras)}]" if extras else ""
    try:
        text = importlib.metadata.distribution("datakit").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        text = None
    origin = json.loads(text) if text else {}
    if "dir_info" not in origin:
        return f'pip install "datakit{chosen}"'
    folder = Path(url2pathname(urlsplit(origin["url"]).path))
    place = "." if folder == Path.cwd() else str(folder)
    editable = "-e " if origin["dir_info"].get("editable") else ""
    return f'pip install {editable}"{place}{chosen}"'


class _OwnPackages:
    """Finds ``train`` and ``evalkit`` where datakit lies, before ``sys.path`` is asked."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        folder = _ROOT / name
        if name not in _OWN or not (folder / "__init__.py").is_file():
            return None
        return importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


def prefer_own_packages() -> None:
    """From now on ``import train`` and ``import evalkit`` find ours, whatever lies in the user's folder.

    A user's ``train.py`` stands before site-packages on ``sys.path``. The command calls this when it starts, a library
    function that needs one of the two calls :func:`own_package`; importing datakit alone changes nothing, so that a
    user's own ``import train`` stays theirs.
    """
    if _OwnPackages not in sys.meta_path:
        sys.meta_path.insert(0, _OwnPackages)


def own_package(name: str) -> ModuleType:
    """Imports our package ``train`` or ``evalkit`` although a script of that name may lie in the user's folder.

    Raises:
        DatakitError: A foreign module of that name is imported already.
    """
    prefer_own_packages()
    loaded = importlib.import_module(name)
    origin = getattr(loaded, "__file__", None)
    if origin is None or Path(origin).resolve().parent != _ROOT / name:
        raise DatakitError(
            f"the module '{name}' imported from '{origin}' hides datakit's package of that name",
            hint=f"Call datakit.core.require.own_package('{name}') before importing yours, or rename the file",
        )
    return loaded
