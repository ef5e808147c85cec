"""What a recipe takes from the hub: models, datasets of sources and of tasks, templates; and what of it is here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from datakit.core.errors import Unreachable
from datakit.core.hub import TEMPLATES, dataset_folder
from datakit.core.variables import expand
from datakit.experiment.judge import make_judge
from datakit.experiment.models import MODELS

if TYPE_CHECKING:
    from datakit.experiment.recipe import Recipe

__all__ = ["Need", "check_needs", "needs"]

_HF = re.compile(r"hf:(?P<name>[^:@]+)(?::(?P<config>[^@]+))?(?:@(?P<revision>.+))?")


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that comes from elsewhere.

    Attributes:
        kind: ``model``, ``dataset``, or ``templates`` (promptsource's data).
        name: ``org/name``; ``promptsource`` for templates.
        revision: As the recipe writes it; None is the newest.
        where: Key path of the recipe, or the task, that wants it.
        here: It can be read without a network.
    """

    kind: Literal["model", "dataset", "templates"]
    name: str
    revision: str | None
    where: str
    here: bool


def needs(recipe: Recipe) -> list[Need]:
    """Everything a recipe takes from the hub or the package index, each once, in the order of the recipe.

    Raises:
        EvalError: A task or suite that does not exist.
    """
    found: dict[tuple[str, str, str | None], Need] = {}
    for need in (*_sources(recipe), *_templates(recipe), *_model(recipe), *_tasks(recipe)):
        found.setdefault((need.kind, need.name, need.revision), need)
    return list(found.values())


def check_needs(recipe: Recipe) -> None:
    """Names all that is missing together, with the line that fetches it; a judge must be there to be asked.

    Raises:
        Unreachable: ``network: never``, and something is not here.
        DatakitError: The judge has no key, or what asks it is not installed.
    """
    if recipe.evaluate.judge is not None:
        make_judge(recipe.evaluate.judge, recipe.folder, offline=recipe.offline)
    if not recipe.offline:
        return
    missing = [need for need in needs(recipe) if not need.here]
    if missing:
        told = ", ".join(f"{need.kind} '{need.name}' ({need.where})" for need in missing)
        raise Unreachable(
            f"network: never, and {len(missing)} {'thing is' if len(missing) == 1 else 'things are'} missing: {told}",
            where=recipe.path,
            hint=f"Where there is a network: datakit fetch {recipe.path.name} -o bundle; here: hub: bundle",
        )


def _sources(recipe: Recipe) -> Iterator[Need]:
    for name, source in recipe.data.sources.items():
        for path in source.paths():
            if path.startswith("hf:") and not (recipe.folder / expand(path.removeprefix("hf:"))).is_dir():
                match = _HF.fullmatch(expand(path))
                if match is not None:
                    yield _dataset(recipe, match["name"], match["revision"], f"data.sources.{name}")


def _templates(recipe: Recipe) -> Iterator[Need]:
    from datakit.templates.promptsource import installed_folder

    for step in recipe.data.steps:
        used = step.params.get("use", ())
        names = [used] if isinstance(used, str) else used
        if step.name == "template" and any(str(name).startswith("promptsource:") for name in names):
            bundled = recipe.hub is not None and (recipe.hub / TEMPLATES).is_dir()
            here = bundled or installed_folder().is_dir()
            yield Need("templates", TEMPLATES, None, "data.steps.template", here)


def _model(recipe: Recipe) -> Iterator[Need]:
    others = {f"evaluate.against.{name}": where for name, where in recipe.evaluate.others().items()}
    for key, reference in {"model": recipe.model, **others}.items():
        if reference in MODELS.names() or (recipe.folder / expand(reference)).expanduser().is_dir():
            continue
        name, _, revision = reference.partition("@")
        if "/" in name:  # another word is no name of the hub: resolving it tells what is wrong
            bundled = recipe.hub is not None and (recipe.hub / name).is_dir()
            here = bundled or _is_cached(name, "model", revision or None)
            yield Need("model", name, revision or None, key, here)


def _tasks(recipe: Recipe) -> Iterator[Need]:
    from datakit.experiment.evaluation import wanted_tasks
    from evalkit.groups import members

    for task in wanted_tasks(recipe):
        for source in members(task.source):
            name = _dataset_of(source)
            if name is not None:
                yield _dataset(recipe, name, None, f"task {task.name}")


def _dataset_of(source: Any) -> str | None:
    """The dataset of the hub that a task reads; None where its data are files here."""
    if getattr(source, "local", True):
        return None
    config = getattr(source, "config", None)
    if config is None:
        from lm_eval.tasks._yaml_loader import load_yaml

        config = load_yaml(source.path, resolve_func=False)
    name = config.get("dataset_path")
    return name if isinstance(name, str) and "/" in name else None


def _dataset(recipe: Recipe, name: str, revision: str | None, where: str) -> Need:
    here = dataset_folder(recipe.hub, name) is not None or _is_cached(name, "dataset", revision)
    return Need("dataset", name, revision, where, here)


def _is_cached(name: str, kind: Literal["model", "dataset"], revision: str | None) -> bool:
    """Whether the libraries' own caches have it."""
    from huggingface_hub import constants, try_to_load_from_cache

    file = "config.json" if kind == "model" else "README.md"
    if isinstance(try_to_load_from_cache(name, file, repo_type=kind, revision=revision), str):
        return True
    if kind == "model":
        return False
    import datasets

    prepared = Path(datasets.config.HF_DATASETS_CACHE) / name.replace("/", "___").lower()
    snapshots = Path(constants.HF_HUB_CACHE) / f"datasets--{name.replace('/', '--')}" / "snapshots"
    return prepared.is_dir() or any(snapshots.glob("*/*"))
