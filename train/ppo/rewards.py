"""Who judges answers: a model trained on preferences, or a function of the user's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from datakit.core.checkpoint import find_model, load_model, load_tokenizer
from train.backends.rewards import checked_reward, load_reward
from train.errors import TrainError
from train.ppo.rollout import Answers

__all__ = ["Judge", "function_judge", "model_judge"]

Judge = Callable[[Answers], list[float]]


def function_judge(name: str, tokenizer: Any, *, folder: Path) -> Judge:
    """A reward function (:mod:`train.backends.rewards`).

    Args:
        name: ``module:function``, or a registered name.
        tokenizer: Decodes prompts and answers; special tokens are left out.
        folder: Where the module may lie.

    Raises:
        TrainError: No such function; and later, where it does not give one finite number per answer.
    """
    reward = checked_reward(load_reward(name, folder), name)

    def judge(answers: Answers) -> list[float]:
        prompts, ids = answers.split()
        asked, said = (tokenizer.batch_decode(side, skip_special_tokens=True) for side in (prompts, ids))
        return reward(prompts=asked, completions=said, completion_ids=ids)

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
