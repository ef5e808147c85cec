"""The run folder as a build sees it: claimed before, described by a manifest after."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from datakit.core.errors import NewerFormat, StorageError, UsageError
from datakit.core.hashing import file_digest
from datakit.core.storage import read_json, storage_errors, write_json

__all__ = ["FORMAT", "claim", "own_version", "write_manifest"]

FORMAT = 1

_LEFT = re.compile(r"\..+\.[0-9a-f]{8}\.(tmp|old)")


def claim(output: Path, *, recipe: str | None = None, writes: Sequence[str] = ()) -> None:
    """Refuses folders in which something of someone else's would be replaced; clears what a killed build left.

    Args:
        output: Run folder, there or not.
        recipe: Text that will become ``recipe.yaml``.
        writes: Names of what will be written besides data, ledger and manifest.

    Raises:
        UsageError: A file, or a folder with a ``data`` or the like that no build wrote.
        NewerFormat: The run was written by a newer version.
    """
    if output.exists() and not output.is_dir():
        raise UsageError("the output is a file", where=output, hint="Give a folder with -o")
    try:
        read_json(output / "manifest.json", format=FORMAT)
        is_ours = True
    except NewerFormat:
        raise
    except StorageError:
        is_ours = (output / "private" / "cache").is_dir()
    theirs = [name for name in ("data", "dropped", "ledger", "manifest.json", *writes) if (output / name).exists()]
    if recipe is not None and _other_text(output / "recipe.yaml", recipe):
        theirs.append("recipe.yaml")
    if theirs and not is_ours:
        raise UsageError(
            f"there is a '{theirs[0]}' that datakit did not write; it would be replaced",
            where=output,
            hint="Give another folder with -o",
        )
    if is_ours:
        _clear(output)


def _other_text(path: Path, text: str) -> bool:
    with storage_errors(path):
        return path.exists() and path.read_bytes() != text.encode("utf-8")


def _clear(output: Path) -> None:
    for place in (output, output / "private"):
        with storage_errors(place):
            left = [path for path in place.glob(".*") if _LEFT.fullmatch(path.name)]
            for path in left:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def write_manifest(output: Path, name: str, built: Mapping[str, Any]) -> None:
    """Writes ``manifest.json``, the last file of a build; what others noted in it beside ``data`` stays.

    Args:
        output: Run folder; the hashes of its ``data`` and ``ledger`` files are added.
        name: Of the recipe.
        built: Goes under ``data``.
    """
    path = output / "manifest.json"
    try:
        before = read_json(path, format=FORMAT)
    except StorageError:
        before = {}
    files = [file for part in ("data", "ledger") for file in sorted((output / part).rglob("*")) if file.is_file()]
    digests = {file.relative_to(output).as_posix(): file_digest(file) for file in files}
    rest = {key: value for key, value in before.items() if key not in ("format", "name", "datakit", "data")}
    facts = {"name": name, "datakit": own_version(), "data": {**built, "files": digests}, **rest}
    write_json(path, facts, format=FORMAT)


def own_version() -> str:
    """Version of datakit; "0" in a checkout that is not installed."""
    try:
        return version("datakit")
    except PackageNotFoundError:
        return "0"
