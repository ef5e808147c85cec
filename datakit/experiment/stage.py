"""``stages`` of a recipe: tasks that are trained one after another, each from the weights the one before left."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datakit.core.errors import RecipeError
from datakit.core.registry import suggest
from datakit.core.yaml import Document
from datakit.recipe import NAME, DataRecipe, recipe_error

if TYPE_CHECKING:
    from train import Arm

__all__ = ["Stage", "StageSettings", "read_stages"]

_LENGTHS = ("epochs", "steps")


class StageSettings(BaseModel):
    """One stage as written.

    Attributes:
        sources: Sources whose rows are trained and tested; the one of the stage's name by default.
        examples: So many examples of the training split, balanced as the split is; all by default.
        arm: Settings that replace the arm's in this stage, such as ``{steps: 50}``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...] = ()
    examples: int | None = Field(default=None, ge=1)
    arm: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    """One task of the sequence.

    Attributes:
        name: Of the task, in reports and as a folder.
        sources: Whose rows it has.
        examples: Of the training split; None takes all.
        arms: Arm name to what is trained in this stage.
    """

    name: str
    sources: tuple[str, ...]
    examples: int | None
    arms: Mapping[str, Arm]


def read_stages(document: Document, data: DataRecipe, arms: Mapping[str, Arm]) -> tuple[Stage, ...]:
    """The stages of a recipe in the order of the file; none where it has no such key.

    Raises:
        RecipeError: Fewer than two, a name or source that cannot be, or settings that no arm takes.
    """
    written = document.value.get("stages")
    if written is None:
        return ()
    if not isinstance(written, Mapping) or len(written) < 2:
        raise RecipeError(
            "two stages or more are wanted, a mapping of names to settings",
            where=document.where(("stages",)),
            hint="stages: {first: {}, second: {}} trains the sources of these names one after another",
        )
    return tuple(_stage(str(name), settings, document, data, arms) for name, settings in written.items())


def _stage(name: str, written: Any, document: Document, data: DataRecipe, arms: Mapping[str, Arm]) -> Stage:
    if not re.fullmatch(NAME, name) or name == "base":
        raise RecipeError(
            f"'{name}' cannot name a stage",
            where=document.where(("stages", name)),
            hint="Letters, digits, '_', '.', '-'; 'base' is taken by the model before the first stage",
        )
    try:
        settings = StageSettings.model_validate(written or {})
    except ValidationError as error:
        raise recipe_error(error, document, ["stages", name], StageSettings) from None
    sources = settings.sources or (name,)
    known = [source for source, spec in data.sources.items() if spec.use == "train"]
    if wrong := [source for source in sources if source not in known]:
        raise RecipeError(
            f"the stage '{name}' has no source '{wrong[0]}' to train on",
            where=document.where(("stages", name)),
            hint=suggest(wrong[0], known),
        )
    own = {arm: _replaced(arm, name, settings.arm, document) for arm in arms}
    return Stage(name, sources, settings.examples, own)


def _replaced(arm: str, stage: str, settings: Mapping[str, Any], document: Document) -> Arm:
    """The arm as it is written, with the stage's settings instead of its own."""
    from train import Arm

    written = dict((document.value.get("arms") or {}).get(arm) or {})
    if any(key in settings for key in _LENGTHS):
        written = {key: value for key, value in written.items() if key not in _LENGTHS}
    try:
        return Arm.model_validate({**written, **settings})
    except ValidationError as error:
        raise recipe_error(error, document, ["stages", stage, "arm"], Arm) from None
