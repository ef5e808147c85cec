"""The run folder as a build sees it: claimed before, described by a manifest after."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from datakit.core.errors import NewerFormat, StorageError, UsageError
from datakit.core.hashing import file_digest
from datakit.core.storage import read_json, storage_errors, write_json

__all__ = ["FORMAT", "claim", "own_version", "write_manifest"]

FORMAT = 1

_LEFT = re.compile(r"\..+\.[0-9a-f]{8}\.(tmp|old)")


def claim(output: Path) -> None:
    """Refuses folders whose ``data`` is someone else's; clears what a killed build left half-written.

    Raises:
        UsageError: A file, or a folder with a ``data`` or ``ledger`` that no build wrote.
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
    for name in ("data", "ledger"):
        if (output / name).exists() and not is_ours:
            raise UsageError(
                f"there is a folder '{name}' that no build wrote; it would be replaced",
                where=output,
                hint="Give another folder with -o",
            )
    if is_ours:
        _clear(output)


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
