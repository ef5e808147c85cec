"""``check`` looks at the user's reward and program as the training will, and starts neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from datakit.core.errors import RecipeError
from datakit.experiment.outside import check_outside
from datakit.experiment.plan import check
from datakit.experiment.recipe import Recipe, read_recipe

RECIPE = """\
data:
  sources:
    tickets: {path: tickets.csv, columns: {text: text, label: queue}}
  steps:
    - split: {validation: 0.2, test: 0.2}
    - template: {use: classify}
model: pocket
evaluate: {task: test}
"""


def written(folder: Path, *arms: str) -> Recipe:
    path = folder / "small.yaml"
    path.write_text(RECIPE + "".join(arms))
    return read_recipe(path)


def arm(backend: str, name: str = "one") -> str:
    return f"arms:\n  {name}: {{steps: 2, backend: {backend}}}\n"


@pytest.mark.parametrize("backend", ["{ppo: {reward: %s}}", "{trl: {trainer: grpo, reward: %s}}"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('no key')", "cannot be imported: RuntimeError: no key"),
        ("other = 1", "has no 'score', which the reward names"),
        ("score = 1", "is no function"),
        ("def score(prompts, completions, **columns):\n    raise AssertionError('called')", None),
    ],
)
def test_a_reward_is_loaded_and_not_called(backend, text, said, tmp_path):
    (tmp_path / "mine.py").write_text(text)
    recipe = written(tmp_path, arm(backend % "'mine:score'"))
    if said is None:
        check_outside(recipe)
        return
    with pytest.raises(RecipeError, match=said) as caught:
        check(recipe)  # before data are read: there are none
    assert "small.yaml: arms.one.backend" in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_missing_reward_of_a_stage_is_named_by_its_place(tmp_path):
    (tmp_path / "reward").mkdir()
    check_outside(written(tmp_path, arm("{ppo: {reward: reward}}")))  # a model's folder: loaded beside the policy
    with pytest.raises(RecipeError, match="no reward named 'nothing'"):
        check_outside(written(tmp_path, arm("{ppo: {reward: nothing}}")))


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("no-such-trainer {config}", "'no-such-trainer' is not on the PATH"),
        ("./train.sh {config}", "'./train.sh' is a relative path"),
        ("FOLDER/gone.sh {config}", "gone.sh' is not there"),
        ("FOLDER/plain.sh {config}", "plain.sh' may not be executed"),
        ("FOLDER/train.sh {config}", None),
        ("sh FOLDER/plain.sh {config}", None),
    ],
)
def test_a_program_is_looked_up_and_not_started(run, said, tmp_path):
    for name in ("plain.sh", "train.sh"):
        (tmp_path / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "train.sh").chmod(0o755)
    line = run.replace("FOLDER", str(tmp_path))
    recipe = written(tmp_path, arm(f"{{command: {{run: '{line}'}}}}"))
    if said is None:
        check_outside(recipe)
    else:
        with pytest.raises(RecipeError, match=said):
            check_outside(recipe)
    assert not (tmp_path / "started").exists()
