"""Collects all that a recipe takes from elsewhere into one folder, which then stands in for the hub."""

from __future__ import annotations

import errno
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datakit.core.errors import DiskFull, StorageError, Unreachable, UsageError
from datakit.core.hub import DATASETS
from datakit.core.require import require
from datakit.core.storage import read_json, write_json
from datakit.experiment.events import Event, Listener, silent
from datakit.experiment.needs import Need, needs
from datakit.experiment.recipe import Recipe

__all__ = ["FORMAT", "Fetched", "fetch"]

FORMAT = 1
MANIFEST = "bundle.json"

# Never pickled weights, never code; not the second copy some publishers keep.
_MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "README.md", "LICENSE*"]
_LEFT = ["original/*", "consolidated*", "*.py"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """One thing in the folder.

    Attributes:
        kind: ``model``, ``dataset`` or ``templates``.
        name: As the recipe names it.
        commit: Revision on the hub; None for templates.
        files: Number of files.
        bytes: Their size.
        fresh: Fetched now, not by an earlier call.
    """

    kind: str
    name: str
    commit: str | None
    files: int
    bytes: int
    fresh: bool


def fetch(recipe: Recipe, output: Path, *, listen: Listener = silent) -> list[Fetched]:
    """Fetches models, datasets and templates of a recipe into a folder.

    What the folder has in the wanted revision is not fetched again; a killed call goes on. Each thing stands there
    whole or not at all.

    Args:
        recipe: The recipe; its ``network`` and ``hub`` are not looked at.
        output: The folder.
        listen: Hears what happens.

    Raises:
        UsageError: The folder holds something that is no such bundle.
        Unreachable: The hub or the package index does not give something.
        DiskFull: No space left.
    """
    manifest = output / MANIFEST
    if output.is_dir() and any(output.iterdir()) and not manifest.is_file():
        raise UsageError("the folder is not empty and no bundle", where=output, hint="Give another folder with -o")
    known = _known(manifest)
    done: list[Fetched] = []
    for need in needs(recipe):
        listen(Event("fetch", need.name, f"{need.kind:<10} {need.name}", final=False))
        entry = _templates(output) if need.kind == "templates" else _repository(need, output, known)
        done.append(entry)
        known[f"{entry.kind}:{entry.name}"] = asdict(entry)
        write_json(manifest, {"things": sorted(known.values(), key=lambda item: (item["kind"], item["name"]))})
        state = f"{entry.files} files, {entry.bytes / 1e6:.1f} MB" if entry.fresh else "there already"
        listen(Event("fetch", need.name, f"{need.kind:<10} {need.name} · {state}", 1.0))
    if not done:
        write_json(manifest, {"things": []})
    return done


def _known(manifest: Path) -> dict[str, dict[str, Any]]:
    try:
        things = read_json(manifest, format=FORMAT)["things"]
    except (StorageError, KeyError):
        return {}
    return {f"{item['kind']}:{item['name']}": dict(item) for item in things}


def _repository(need: Need, output: Path, known: dict[str, dict[str, Any]]) -> Fetched:
    hub = require("huggingface_hub", extra="eval")
    target = output / need.name if need.kind == "model" else output / DATASETS / need.name
    temporary = target.with_name(f".{target.name}.part")
    try:
        info = hub.HfApi().repo_info(need.name, repo_type=need.kind, revision=need.revision)
        old = known.get(f"{need.kind}:{need.name}")
        if old is not None and old["commit"] == info.sha and target.is_dir():
            return Fetched(**{**old, "fresh": False})
        hub.snapshot_download(
            need.name,
            repo_type=need.kind,
            revision=info.sha,
            local_dir=temporary,
            allow_patterns=_MODEL_FILES if need.kind == "model" else None,
            ignore_patterns=_LEFT,
        )
    except (OSError, ValueError) as error:  # huggingface_hub's errors derive from these two
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                "no space left on the disk", where=output, hint="Free some space; the call goes on"
            ) from error
        raise Unreachable(
            f"the hub does not give the {need.kind} '{need.name}' ({type(error).__name__})",
            where=need.where,
            hint="Check name and network, and log in if it is gated; the same call goes on where it stopped",
        ) from error
    shutil.rmtree(temporary / ".cache", ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    files, size = _size(target)
    return Fetched(need.kind, need.name, info.sha, files, size, fresh=True)


def _templates(output: Path) -> Fetched:
    from datakit.core.hub import TEMPLATES
    from datakit.templates.install import install
    from datakit.templates.promptsource import installed_folder

    target = output / TEMPLATES
    fresh = not target.is_dir()
    if fresh and installed_folder().is_dir():
        temporary = target.with_name(f".{TEMPLATES}.part")
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(installed_folder(), temporary)
        temporary.rename(target)
    elif fresh:
        install(folder=target)
    files, size = _size(target)
    return Fetched("templates", TEMPLATES, None, files, size, fresh=fresh)


def _size(folder: Path) -> tuple[int, int]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return len(files), sum(file.stat().st_size for file in files)
