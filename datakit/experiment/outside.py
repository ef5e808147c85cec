"""What of the user's an arm's training will call, looked at before anything runs: a reward, another program."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from datakit.core.errors import DatakitError, RecipeError
from datakit.experiment.recipe import Recipe

if TYPE_CHECKING:
    from train import Arm

__all__ = ["check_outside"]


def check_outside(recipe: Recipe) -> None:
    """Loads the reward of every arm as its training will, and looks its command's program up; starts nothing.

    Raises:
        RecipeError: A reward that cannot be loaded, or a program that is not there.
    """
    named: list[tuple[str, Mapping[str, Arm]]] = [(f"stages.{stage.name}.arms", stage.arms) for stage in recipe.stages]
    for place, arms in named or [("arms", recipe.arms)]:
        for name, arm in arms.items():
            _, settings = arm.chosen_backend
            where = f"{recipe.path}: {place}.{name}.backend"
            reward, run = (getattr(settings, key, None) for key in ("reward", "run"))
            if isinstance(reward, str):
                _check_reward(reward, recipe.folder, where)
            if isinstance(run, str):
                _check_program(run, where)


def _check_reward(reward: str, folder: Path, where: str) -> None:
    from train.backends.rewards import load_reward

    given = Path(reward).expanduser()
    if (folder / given).is_dir() or given.is_dir():
        return  # a reward model; it is loaded beside the policy
    try:
        load_reward(reward, folder)
    except DatakitError as error:
        raise RecipeError(error.message, where=where, hint=error.hint) from error


def _check_program(run: str, where: str) -> None:
    program = shlex.split(run)[0].format(config="", data="", model="", output="")
    path, found = Path(program), shutil.which(program) is not None
    if "/" not in program:
        why, hint = "is not on the PATH", "Install it, or write its whole path"
    elif not path.is_absolute():
        found = False
        why, hint = "is a relative path, and the command is started in a folder of its own", "Write its whole path"
    else:
        why = "may not be executed" if path.is_file() else "is not there"
        hint = "Correct the path in `run`, or make the file executable"
    if not found:
        raise RecipeError(f"the command's program '{program}' {why}", where=where, hint=hint)
