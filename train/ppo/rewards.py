"""Who judges answers: a model trained on preferences, or a function of the user's."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datakit.core.checkpoint import find_model, load_model, load_tokenizer
from train.errors import TrainError
from train.ppo.rollout import Answers

__all__ = ["Judge", "function_judge", "is_function", "model_judge"]

Judge = Callable[[Answers], list[float]]


def is_function(reward: str) -> bool:
    """Whether the setting names ``module:function`` and not a folder."""
    module, _, function = reward.partition(":")
    return function.isidentifier() and module.replace(".", "").isidentifier() and not Path(reward).exists()


def function_judge(name: str, tokenizer: Any, *, imports: Path) -> Judge:
    """The function ``module:function``.

    Args:
        imports: Modules in this folder are found, beside installed ones.
        name: Of a function that takes prompts and answers, two lists of strings, and gives a number for each.
        tokenizer: Decodes both; special tokens are left out.

    Raises:
        TrainError: No such module or function; and later, where it does not give one finite number per answer.
    """
    module, _, attribute = name.partition(":")
    if str(imports.resolve()) not in sys.path:
        sys.path.insert(0, str(imports.resolve()))
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise TrainError(f"ppo.reward: no function '{name}' ({error})", hint="Give module:function") from error

    def judge(answers: Answers) -> list[float]:
        asked, said = (tokenizer.batch_decode(side, skip_special_tokens=True) for side in answers.split())
        scores = [float(score) for score in function(asked, said)]
        if len(scores) != len(said):
            raise TrainError(f"the reward '{name}' gave {len(scores)} numbers for {len(said)} answers")
        if any(not math.isfinite(score) for score in scores):
            raise TrainError(f"the reward '{name}' gave a number that is not finite")
        return scores

    return judge


def model_judge(folder: Path | str, tokenizer: Any, *, device: Any) -> tuple[Judge, Any]:
    """A reward model made with ``objective: reward``, and its weights.

    Args:
        folder: Its folder.
        tokenizer: Of the model in training; theirs has to be the same.
        device: Where it is put.

    Raises:
        ModelError: It is no sequence classifier.
        TrainError: Its tokenizer is another one.
    """
    import torch

    found = find_model(folder, offline=True)
    if load_tokenizer(found).get_vocab() != tokenizer.get_vocab():
        raise TrainError("the reward model's tokenizer is not that of the model", where=found)
    model = load_model(found, dtype="float32", architecture="reward").to(device)
    model.requires_grad_(False)

    def judge(answers: Answers) -> list[float]:
        body = getattr(model, model.base_model_prefix)
        with torch.inference_mode():
            hidden = body(input_ids=answers.ids, use_cache=False).last_hidden_state
            rows = torch.arange(len(answers), device=hidden.device)
            last = answers.starts + answers.mask.sum(1) - 1
            scores: list[float] = model.score(hidden[rows, last]).squeeze(-1).float().tolist()
        return scores

    return judge, model
