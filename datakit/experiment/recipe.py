"""The whole recipe: the data part of ``datakit.recipe`` plus model, arms and evaluation, in one YAML file.

The data part is validated by the room it belongs to, an arm by ``train``; here stands what composes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from datakit.core.chat import ChatSettings
from datakit.core.errors import RecipeError
from datakit.core.require import own_package
from datakit.core.yaml import Document
from datakit.experiment.judge import JudgeSpec
from datakit.experiment.stage import Stage, read_stages
from datakit.recipe import NAME, DataRecipe, read_data_recipe, recipe_error

if TYPE_CHECKING:
    from train import Arm

__all__ = ["Evaluate", "Recipe", "read_recipe"]

#: What every library that takes a seed takes.
MAX_SEED = 2**32 - 1


class Evaluate(BaseModel):
    """What is measured.

    Attributes:
        task: ``test`` is the built test split; or lm-eval task names and files; None leaves the gain out.
        metrics: Of the built test split.
        judge: A model that scores the open answers of the built test split.
        suite: General tasks that must not be forgotten: a registered name, a file, a list of lm-eval tasks.
        against: Models that stand beside the arms on the user's task: ``base``, and names of others with a folder or
            Hub name each, such as ``{production: models/current}``.
        shots: So many examples from the training split are put before each row for the base, which then stands
            beside the arms as well: a prompt that works needs no training. 0 leaves it out.
        margin: Tolerable loss in points of the score; None takes the suite's own.
        limit: Items per general task; None takes all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str | tuple[str, ...] | None = "test"
    metrics: tuple[str, ...] = ("accuracy",)
    judge: JudgeSpec | None = None
    suite: str | tuple[str, ...] | None = None
    against: tuple[Literal["base"] | dict[str, str], ...] = ("base",)
    shots: int = Field(default=0, ge=0, le=64)
    margin: float | None = Field(default=None, gt=0, lt=1)
    limit: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _judges_own_rows(self) -> Evaluate:
        if self.judge is not None and self.task != "test":
            raise ValueError("a judge reads the answers to the built test split: write task: test, or leave judge out")
        return self

    @field_validator("against")
    @classmethod
    def _named(cls, against: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [name for entry in against if isinstance(entry, Mapping) for name in entry]
        for name in names:
            if not re.fullmatch(NAME, name) or name == "base" or re.fullmatch(r".+-\d+|base-.*", name):
                raise ValueError(f"'{name}' cannot name a model: letters, digits, '_', '.', '-', no number at the end")
            if names.count(name) > 1:
                raise ValueError(f"the model '{name}' stands there twice")
        return against

    def others(self) -> dict[str, str]:
        """Name to folder or Hub name of the models in ``against`` that are not the base."""
        return {name: where for entry in self.against if isinstance(entry, Mapping) for name, where in entry.items()}


class _Head(BaseModel):
    """The recipe's own keys; ``data`` and ``arms`` are validated by their rooms."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    name: str | None = None
    seeds: tuple[int, ...] = (1,)
    model: str
    chat: ChatSettings = ChatSettings()
    evaluate: Evaluate = Evaluate()
    hub: str | None = None
    network: Literal["auto", "never"] = "auto"

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) != len(seeds):
            raise ValueError("at least one seed, each once")
        if wrong := [seed for seed in seeds if not 0 <= seed <= MAX_SEED]:
            raise ValueError(f"a seed is a whole number from 0 to {MAX_SEED:,}, not {wrong[0]}")
        return seeds


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe that can be right.

    Attributes:
        path: The file it was read from.
        folder: Where its relative paths start; the file's folder, but for the copy in a run.
        name: Name of the run; the file's stem by default.
        seeds: One cell is trained per arm and seed.
        data: Sources and steps.
        model: The base, as written.
        chat: Rendering of messages, the same in training and evaluation.
        arms: Name to arm, in the order of the file; grids unexpanded.
        stages: Tasks trained one after another, in the order of the file; empty where all rows are one task.
        evaluate: What is measured.
        hub: Folder in which ``org/name`` is looked up first, absolute.
        offline: ``network: never``.
    """

    path: Path
    folder: Path
    name: str
    seeds: tuple[int, ...]
    data: DataRecipe
    model: str
    chat: ChatSettings
    arms: Mapping[str, Arm]
    stages: tuple[Stage, ...]
    evaluate: Evaluate
    hub: Path | None
    offline: bool


def _arms(document: Document) -> dict[str, Arm]:
    own_package("train")
    from train import Arm

    written = document.value.get("arms")
    if written is None:
        return {"lora": Arm()}
    if not isinstance(written, Mapping) or not written:
        raise RecipeError("a mapping of arm names to settings is wanted", where=document.where(("arms",)))
    arms: dict[str, Arm] = {}
    for name, settings in written.items():
        if not re.fullmatch(NAME, str(name)) or name == "base":
            raise RecipeError(
                f"'{name}' cannot name an arm",
                where=document.where(("arms", name)),
                hint="Letters, digits, '_', '.', '-'; 'base' is taken by the model itself",
            )
        try:
            arms[str(name)] = Arm.model_validate(settings or {})
        except ValidationError as error:
            raise recipe_error(error, document, ["arms", str(name)], Arm) from None
        if arms[str(name)].objective == "reward":
            raise RecipeError(
                f"arms.{name}: a reward model answers no question, so it cannot be an arm",
                where=document.where(("arms", name, "objective")),
                hint="Make it with `datakit train --objective reward`, and give its folder to the backend ppo",
            )
    return arms


def _check_general(arms: Mapping[str, Arm], data: DataRecipe, document: Document) -> None:
    known = [name for name, source in data.sources.items() if source.use != "train"]
    for name, arm in arms.items():
        for key, source in arm.sources.items():
            if source not in known:
                raise RecipeError(
                    f"no source '{source}' with use: replay",
                    where=document.where(("arms", name, *key.split("."))),
                    hint=f"Sources for replay: {', '.join(known) or 'none'}",
                )


def read_recipe(path: Path, *, folder: Path | None = None) -> Recipe:
    """Reads and validates a whole recipe.

    Args:
        path: The YAML file.
        folder: Where relative paths start, if not the file's own folder.

    Raises:
        RecipeError: With file, line and key path of the first thing that is wrong.
    """
    data, document = read_data_recipe(path)
    value: dict[str, Any] = document.value
    try:
        head = _Head.model_validate({key: value[key] for key in _Head.model_fields if key in value})
    except ValidationError as error:
        raise recipe_error(error, document, [], _Head) from None
    arms = _arms(document)
    _check_general(arms, data, document)
    if head.evaluate.task == "test" and not any(step.name == "split" for step in data.steps):
        raise RecipeError(
            "the task is the built test split, but no split step makes one",
            where=document.where(("evaluate", "task")),
            hint="Add '- split: {validation: 0.1, test: 0.15}' to data.steps, or set evaluate.task",
        )
    if head.evaluate.task is None and head.evaluate.suite is None and head.model != "pocket":
        raise RecipeError(
            "neither a task nor a suite: nothing would be measured",
            where=document.where(("evaluate",)),
            hint="Set evaluate.task or evaluate.suite; to train alone: datakit build, then datakit train",
        )
    stages = read_stages(document, data, arms)
    if stages and head.evaluate.task != "test":
        raise RecipeError(
            "with stages the task is each stage's own test rows",
            where=document.where(("evaluate", "task")),
            hint="Write evaluate.task: test, or leave it out",
        )
    folder = path.parent if folder is None else folder
    return Recipe(
        path=path,
        folder=folder,
        name=head.name or path.stem,
        seeds=head.seeds,
        data=data,
        model=head.model,
        chat=head.chat,
        arms=arms,
        stages=stages,
        evaluate=head.evaluate,
        hub=None if head.hub is None else (folder / head.hub).resolve(),
        offline=head.network == "never",
    )
