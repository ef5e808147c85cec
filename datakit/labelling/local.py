"""A model on this machine: each option's log-likelihood after the prompt, so that even a small one gives probabilities.

The probability of an option is the softmax over the options of the sum of its tokens' log-likelihoods: what the model
would answer if it could answer nothing else.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datakit.core.chat import ChatSettings, encode, render_answer, render_prompt
from datakit.core.checkpoint import find_model, load_model, load_tokenizer
from datakit.core.hashing import tree_digest
from datakit.core.registry import Registry
from datakit.core.require import require
from datakit.core.variables import expand
from datakit.labelling.prompt import Prompt
from datakit.labelling.store import Answer

__all__ = ["Scorer", "find_local", "local_digest"]

_MODELS = Registry("datakit.models")
_CHAT = ChatSettings()
_AT_ONCE = 32


def find_local(reference: str, *, folder: Path, offline: bool = False) -> Path:
    """The folder of a local model: a registered name such as ``pocket``, a folder beside the recipe, a Hub name.

    Raises:
        ModelError: There is none.
        Unreachable: It would have to be fetched and cannot.
    """
    if reference in _MODELS.names():
        return Path(_MODELS.load(reference)())
    beside = (folder / expand(reference)).expanduser()
    return find_model(beside if beside.is_dir() else reference, offline=offline)


def local_digest(reference: str, *, folder: Path, offline: bool = False) -> str:
    """Hash of a local model's weights and tokenizer: part of what determines its answers."""
    return tree_digest(find_local(reference, folder=folder, offline=offline), ("*.safetensors", "*.json", "*.jinja"))


class Scorer:
    """Scores the options of one labeller.

    Args:
        reference: See :func:`find_local`.
        prompt: Made with ``alone=True``.
        folder: Of the recipe.
        offline: Nothing is fetched.
    """

    def __init__(self, reference: str, prompt: Prompt, *, folder: Path = Path(), offline: bool = False) -> None:
        torch = require("torch", extra="train")
        self.name, self.prompt = reference, prompt
        found = find_local(reference, folder=folder, offline=offline)
        self.tokenizer = load_tokenizer(found)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = load_model(found, dtype="float32" if self.device == "cpu" else "bfloat16", device=self.device)
        self.longest = int(getattr(self.model.config, "max_position_embeddings", 0) or 10**9)
        votes = prompt.labeller.votes
        #: What is scored for each vote: a preference's answers are called A and B in the prompt.
        self.written = [vote.upper() if vote in ("a", "b") and _is_pair(prompt) else vote for vote in votes]
        self.votes = list(votes)

    def answer(self, text: str) -> Answer:
        """The likeliest option with the probabilities of all; nothing where the row is longer than the model holds."""
        prompt = render_prompt(self.prompt.messages(text), self.tokenizer, _CHAT)
        pairs = [
            encode(prompt, render_answer(one, self.tokenizer, _CHAT), self.tokenizer, end="") for one in self.written
        ]
        before, options = pairs[0][0], [after for _, after in pairs]
        if len(before) + max(map(len, options)) > self.longest:
            return Answer(self.name, None, finish="too_long")
        scores = self.log_likelihoods(before, options)
        top = max(scores)
        total = top + math.log(sum(math.exp(score - top) for score in scores))
        chances = {vote: math.exp(score - total) for vote, score in zip(self.votes, scores, strict=True)}
        best = max(self.votes, key=lambda vote: chances[vote])
        return Answer(self.name, best, finish="scored", probabilities=chances, tokens_in=len(before))

    def log_likelihoods(self, before: Sequence[int], options: Sequence[Sequence[int]]) -> list[float]:
        """Sum of each option's log-likelihoods after the prompt; the prompt is read once for all of them.

        Args:
            before: Token ids of the prompt.
            options: Token ids of each option, at least one each.
        """
        import torch

        with torch.inference_mode():
            ids = torch.tensor([list(before)], device=self.device)
            read = self.model(input_ids=ids, use_cache=True)
            first = torch.log_softmax(read.logits[0, -1].float(), -1)
            scores = [float(first[option[0]]) for option in options]
            longer = [number for number, option in enumerate(options) if len(option) > 1]
            for start in range(0, len(longer), _AT_ONCE):
                some = longer[start : start + _AT_ONCE]
                for number, rest in zip(some, self._rest(_cache(read), [options[k] for k in some]), strict=True):
                    scores[number] += rest
        return scores

    def _rest(self, cache: Any, options: Sequence[Sequence[int]]) -> list[float]:
        """Log-likelihood of all tokens but the first."""
        import torch

        # transformers 5.24 has a new name for it; older ones know the old one alone.
        named = inspect.signature(inspect.unwrap(self.model.forward)).parameters
        name = "cache" if "cache" in named else "past_key_values"
        past = copy.deepcopy(cache)
        past.batch_repeat_interleave(len(options))
        longest = max(map(len, options)) - 1
        # What stands behind an option's end is never looked at: attention goes backwards only.
        padded = [[*option[:-1], *[0] * (longest + 1 - len(option))] for option in options]
        ids = torch.tensor(padded, device=self.device)
        chances = torch.log_softmax(self.model(input_ids=ids, **{name: past}).logits.float(), -1)
        return [
            sum(float(chances[row, at, token]) for at, token in enumerate(option[1:]))
            for row, option in enumerate(options)
        ]


def _cache(read: Any) -> Any:
    """What the model remembers of the prompt: ``cache`` from transformers 5.24 on, which warns of the old name."""
    found = read.get("cache")
    return read.past_key_values if found is None else found


def _is_pair(prompt: Prompt) -> bool:
    return prompt.labeller.kind == "preference"
