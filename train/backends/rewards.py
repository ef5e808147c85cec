"""Reward functions: ``reward(prompts, completions, **columns)``, a list of one number per completion, as TRL calls it.

``columns`` are lists as long as the completions: ``answer``, ``label`` and ``id`` of the row each prompt came from, and
``completion_ids``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datakit.core.hashing import file_digest, tree_digest
from datakit.core.modules import load_module, module_file
from datakit.core.registry import Registry, suggest
from train.errors import TrainError

__all__ = ["REWARDS", "Reward", "checked_reward", "load_reward", "reward_digest"]

REWARDS = Registry("train.rewards")
"""Reward functions of installed packages, by name."""

Reward = Callable[..., list[float]]


def load_reward(name: str, folder: Path) -> Reward:
    """``module:function``, the module beside the recipe or installed, or a registered name.

    Raises:
        TrainError: It cannot be imported, or is no function.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon:
        if name not in REWARDS.names():
            raise TrainError(
                f"no reward named '{name}'", hint=f"Write module:function. {suggest(name, REWARDS.names())}"
            )
        found = REWARDS.load(name)
    else:
        module = _module(module_name, folder, name)
        if not hasattr(module, attribute):
            raise TrainError(f"the module '{module_name}' has no '{attribute}', which the reward names")
        found = getattr(module, attribute)
    if not callable(found):
        raise TrainError(f"the reward '{name}' is no function", hint="def reward(prompts, completions, **columns)")
    checked: Reward = found
    return checked


def _module(module: str, folder: Path, name: str) -> Any:
    try:
        return load_module(module, folder)
    except (Exception, SystemExit) as error:  # the user's code runs here
        if _is_signal(error):
            raise
        raise TrainError(
            f"the reward '{name}' cannot be imported: {type(error).__name__}: {error}",
            hint=f"Modules may lie in '{folder}'",
        ) from error


def reward_digest(name: str, folder: Path) -> str:
    """Hash of a reward model's weights, or of the file of a reward beside the recipe; "" for an installed one."""
    if (folder / name).is_dir():
        return tree_digest(folder / name, ("*.safetensors",))
    file = module_file(name.partition(":")[0], folder)
    return file_digest(file) if ":" in name and file.is_file() else ""


def checked_reward(reward: Reward, name: str) -> Reward:
    """The function, with what is wrong with its result said in one line."""
    import math

    def call(**columns: Any) -> list[float]:
        wanted = len(columns["completions"])
        try:
            rewards = [float(value) for value in reward(**columns)]
        except (Exception, SystemExit) as error:
            if _is_signal(error):
                raise
            raise TrainError(f"the reward '{name}' failed: {type(error).__name__}: {error}") from error
        if len(rewards) != wanted:
            raise TrainError(f"the reward '{name}' gave {len(rewards)} numbers for {wanted} completions")
        if wrong := [value for value in rewards if not math.isfinite(value)]:
            raise TrainError(f"the reward '{name}' gave {wrong[0]}; a number is wanted")
        return rewards

    call.__name__ = name.rpartition(":")[2]
    return call


def _is_signal(error: BaseException) -> bool:
    """A SIGTERM that came while the user's code ran, and no exit of its own, which would pass for a good end."""
    return isinstance(error, SystemExit) and error.code == 128 + signal.SIGTERM
