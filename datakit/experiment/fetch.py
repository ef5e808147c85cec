"""What a recipe needs of the Hub: told, found missing, and fetched into a folder that a machine without network reads.

The folder is laid out as ``hub: FOLDER`` reads it: models at ``org/name``, data sets at ``datasets/org/name``, each a
snapshot of the repository's files, and ``fetched.json`` with names and revisions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from datakit.core.errors import Unreachable
from datakit.core.require import require
from datakit.core.storage import write_json
from datakit.core.variables import expand
from datakit.experiment.models import MODELS
from datakit.experiment.recipe import Recipe

__all__ = ["Need", "check_network", "fetch", "missing", "needs"]

#: As for models that are loaded directly: no pickled weights, no code.
_MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_DATA_FILES = ["*.parquet", "*.json", "*.jsonl", "*.csv", "*.tsv", "*.txt", "*.gz", "*.zst", "*.md", "*.arrow"]


@dataclass(frozen=True, slots=True)
class Need:
    """One repository of the Hub.

    Attributes:
        kind: ``model`` or ``dataset``.
        name: ``org/name``.
        revision: None is the default branch.
        why: The key of the recipe, or the task, that asks for it.
    """

    kind: Literal["model", "dataset"]
    name: str
    revision: str | None
    why: str

    def place(self, hub: Path) -> Path:
        """Where it lies under a ``hub`` folder."""
        return hub / self.name if self.kind == "model" else hub / "datasets" / self.name


def _split(reference: str) -> tuple[str, str | None]:
    name, _, revision = reference.partition("@")
    return name.partition(":")[0], revision or None


def _model(reference: str, recipe: Recipe, why: str) -> list[Need]:
    local = (recipe.folder / expand(reference)).expanduser()
    if reference in MODELS.names() or local.is_dir() or ":" in reference or "/" not in reference:
        return []
    return [Need("model", *_split(reference), why)]


def _task_datasets(recipe: Recipe) -> list[Need]:
    """Data sets of lm-eval's tasks in the suite and in ``evaluate.task``."""
    from datakit.experiment.evaluation import general_suite, named_tasks
    from evalkit.needs import hub_datasets

    suites = [suite for suite in (general_suite(recipe), named_tasks(recipe)) if suite is not None]
    return [Need("dataset", name, None, task) for suite in suites for task, name in hub_datasets(suite)]


def needs(recipe: Recipe) -> list[Need]:
    """Every repository of the Hub that a recipe names, each once."""
    found = _model(recipe.model, recipe, "model")
    for name, source in recipe.data.sources.items():
        paths = [source.path] if isinstance(source.path, str) else source.path
        for path in paths:
            if path.startswith("hf:"):
                found.append(Need("dataset", *_split(expand(path.removeprefix("hf:"))), f"data.sources.{name}"))
    found += _task_datasets(recipe)
    return list({(need.kind, need.name): need for need in reversed(found)}.values())[::-1]


def missing(recipe: Recipe) -> list[Need]:
    """What is neither under ``hub`` nor in the Hub's cache on this machine."""
    return [need for need in needs(recipe) if not _is_here(need, recipe.hub)]


def _is_here(need: Need, hub: Path | None) -> bool:
    if hub is not None and need.place(hub).is_dir():
        return True
    library = require("huggingface_hub", extra="train")
    try:
        library.snapshot_download(
            need.name, repo_type=need.kind, revision=need.revision, local_files_only=True, allow_patterns=["*.json"]
        )
    except (OSError, ValueError):
        return False
    return True


def check_network(recipe: Recipe) -> None:
    """With ``network: never`` nothing may be missing.

    Raises:
        Unreachable: Names all that is missing, and the line that fetches it.
    """
    if recipe.offline and (lost := missing(recipe)):
        listed = ", ".join(f"{need.kind} '{need.name}' ({need.why})" for need in lost)
        count = "1 thing is" if len(lost) == 1 else f"{len(lost)} things are"
        raise Unreachable(
            f"network: never, and {count} not on this machine: {listed}",
            where=recipe.path,
            hint=f"Where there is a network: datakit fetch {recipe.path.name} -o bundle/ . Then set hub: bundle",
        )


def fetch(recipe: Recipe, output: Path, *, told: Callable[[Need], None] | None = None) -> Sequence[Need]:
    """Downloads all that the recipe needs into a folder; what is there already is only checked.

    Args:
        recipe: Any, also one with ``network: never``.
        output: Becomes ``hub:`` on the other machine.
        told: Hears of each repository before it is fetched.

    Raises:
        Unreachable: The Hub does not answer or does not give one out; the others are fetched already.
    """
    library = require("huggingface_hub", extra="train")
    wanted = needs(recipe)
    records: list[dict[str, Any]] = []
    for need in wanted:
        if told is not None:
            told(need)
        try:
            info = library.HfApi().repo_info(need.name, repo_type=need.kind, revision=need.revision)
            library.snapshot_download(
                need.name,
                repo_type=need.kind,
                revision=info.sha,
                local_dir=need.place(output),
                allow_patterns=_MODEL_FILES if need.kind == "model" else _DATA_FILES,
                ignore_patterns=["original/*", "consolidated*"] if need.kind == "model" else None,
            )
        except (OSError, ValueError) as error:
            raise Unreachable(
                f"the Hub does not give the {need.kind} '{need.name}' ({type(error).__name__})",
                where=need.why,
                hint="Check the name and the network, and log in if it is gated",
            ) from error
        records.append(asdict(need) | {"commit": info.sha})
    write_json(output / "fetched.json", {"recipe": recipe.path.name, "repositories": records})
    return wanted
