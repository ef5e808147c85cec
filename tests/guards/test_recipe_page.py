"""docs/recipe.md names every key that a recipe may have, and no step is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from datakit.core.chat import ChatSettings
from datakit.experiment.judge import JudgeSpec
from datakit.experiment.recipe import Evaluate
from datakit.experiment.stage import StageSettings
from datakit.recipe import STEPS, TOP_LEVEL, DataRecipe
from datakit.sources.spec import Labels, SourceSpec
from train import Arm
from train.backends import BACKENDS
from train.config import Every, Watching
from train.retention.settings import L2, Kl, Replay, TokenMask

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "recipe.md").read_text(encoding="utf-8")


def part(heading: str) -> set[str]:
    """The words in code under a heading; the first part has none."""
    sections = dict(re.findall(r"^## `([^`]+)`\n(.*?)(?=^## |\Z)", PAGE, flags=re.M | re.S))
    text = sections[heading] if heading else PAGE.partition("\n## ")[0]
    return set(re.findall(r"`([^`]+)`", text))


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("", DataRecipe),
        ("", ChatSettings),
        ("data.sources.NAME", SourceSpec),
        ("data.sources.NAME", Labels),
        ("arms.NAME", Arm),
        *(("arms.NAME", settings) for settings in (Replay, Kl, L2, TokenMask, Watching)),
        ("arms.NAME", Every),
        ("stages.NAME", StageSettings),
        ("evaluate", Evaluate),
        ("evaluate", JudgeSpec),
        *(("arms.NAME", BACKENDS.load(name).Params) for name in BACKENDS.builtin),
        *(("data.steps", STEPS.load(name).Params) for name in STEPS.builtin),
    ],
)
def test_every_key_is_named(heading: str, model: type[BaseModel]) -> None:
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert keys <= part(heading)


def test_every_top_level_key_and_step_is_named() -> None:
    assert set(TOP_LEVEL) <= part("")
    assert set(STEPS.builtin) <= part("data.steps")
