"""Generation in batches, greedy unless a task says otherwise, with stop strings and a count of what was cut off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datakit.core.chat import ChatSettings, ends_turn, is_chat
from evalkit.models.tokens import prefix_id, tokenize_all

__all__ = ["Generated", "Generator", "cut_answer", "stop_strings", "token_budget"]

#: What ends a thought in the chat templates that have one (Qwen 3, DeepSeek R1).
THOUGHT_END = "</think>"
_ALIASES = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")


@dataclass(frozen=True, slots=True)
class Generated:
    """An answer up to its first stop string, its number of tokens, and whether it ended by itself."""

    text: str
    n_tokens: int
    finished: bool


def cut_answer(text: str, stops: Sequence[str], *, thinking: bool) -> tuple[str, bool]:
    """The answer without thought and stop string; whether a stop string was met. A thought without end is no answer."""
    if thinking:
        _, end, text = text.rpartition(THOUGHT_END)
        if not end:
            return "", False
        text = text.lstrip()
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


class Generator:
    """Generates with one model.

    Args:
        model: A causal language model of transformers (or PEFT around one).
        tokenizer: Its tokenizer.
        chat: Whether a chat template is used decides what else ends an answer; ``thinking`` is cut off.
        device: Where the model lies.
        max_length: Tokens the model takes at once, prompt and answer together.
        batch_tokens: Rows times length at the end of a generation.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, chat: ChatSettings, device: str, max_length: int, batch_tokens: int
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.chat = chat
        self.device = device
        self.max_length = max_length
        self.batch_tokens = batch_tokens
        self._ends = self._end_ids()

    def _end_ids(self) -> list[int]:
        """End tokens of the checkpoint, of the tokenizer, and of an assistant turn."""
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        ends = set(configured if isinstance(configured, list) else [configured])
        ends.add(self.tokenizer.eos_token_id)
        if is_chat(self.tokenizer, self.chat):
            turn = self.tokenizer(ends_turn(self.tokenizer, self.chat), add_special_tokens=False)["input_ids"]
            if turn and turn[0] in self.tokenizer.all_special_ids:
                ends.add(turn[0])
        return sorted(end for end in ends if end is not None)

    def generate(self, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[list[Generated], int]:
        """Answers in the order of the requests, and how many prompts were cut on the left.

        Args:
            requests: ``(prompt, lm-eval's generation_kwargs)``; requests with the same arguments share batches.
        """
        ids = tokenize_all([prompt for prompt, _ in requests], self.tokenizer)
        groups: dict[str, list[int]] = {}
        for request, (_, arguments) in enumerate(requests):
            groups.setdefault(repr(sorted(arguments.items())), []).append(request)
        result: list[Generated] = [Generated("", 0, False)] * len(requests)
        cut = 0
        for group in groups.values():
            options = dict(requests[group[0]][1])
            budget = min(token_budget(options), self.max_length // 2)
            room = self.max_length - budget
            prompts = {request: ids[requests[request][0]] or [prefix_id(self.tokenizer)] for request in group}
            cut += sum(len(prompt) > room for prompt in prompts.values())
            order = sorted(group, key=lambda request: -len(prompts[request]))
            while order:
                width = min(len(prompts[order[0]]), room)
                size = max(1, self.batch_tokens // (width + budget))
                batch, order = order[:size], order[size:]
                answers = self._batch([prompts[request][-room:] for request in batch], budget, options)
                for request, answer in zip(batch, answers, strict=True):
                    result[request] = answer
        return result, cut

    def _batch(self, prompts: Sequence[list[int]], budget: int, options: Mapping[str, Any]) -> list[Generated]:
        import torch

        pad = self.tokenizer.pad_token_id
        pad = self._ends[0] if pad is None and self._ends else pad or 0
        width = max(map(len, prompts))
        ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=self.device)
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=self.device)
        stops = stop_strings(options)
        sample = _sampling(options)
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=budget,
                pad_token_id=pad,
                eos_token_id=self._ends or None,
                stopping_criteria=[self._criterion(width, stops)] if stops else None,
                **sample,
            )
        return [self._answer(row, stops) for row in out[:, width:].tolist()]

    def _answer(self, row: list[int], stops: Sequence[str]) -> Generated:
        end = next((at for at, token in enumerate(row) if token in self._ends), None)
        row = row if end is None else row[:end]
        text, stopped = cut_answer(self.tokenizer.decode(row, skip_special_tokens=True), stops, thinking=self._thinking)
        return Generated(text, len(row), end is not None or stopped)

    @property
    def _thinking(self) -> bool:
        return self.chat.thinking and is_chat(self.tokenizer, self.chat)

    def _criterion(self, width: int, stops: Sequence[str]) -> Any:
        import torch
        from transformers import StoppingCriteria

        tokenizer, thinking = self.tokenizer, self._thinking

        class StopString(StoppingCriteria):  # type: ignore[misc]
            """A row is done when its text holds a stop string; a row that is done is not looked at again."""

            def __init__(self) -> None:
                self.done: list[bool] = []

            def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
                self.done = self.done or [False] * len(input_ids)
                open_rows = [row for row, done in enumerate(self.done) if not done]
                texts = tokenizer.batch_decode(input_ids[open_rows, width:].tolist(), skip_special_tokens=True)
                for row, text in zip(open_rows, texts, strict=True):
                    self.done[row] = cut_answer(text, stops, thinking=thinking)[1]
                return torch.tensor(self.done, device=input_ids.device)

        return StopString()


def token_budget(options: Mapping[str, Any]) -> int:
    """Tokens that an answer may take, under any of lm-eval's names for it."""
    return next((int(options[key]) for key in _ALIASES if options.get(key) is not None), 256)


def stop_strings(options: Mapping[str, Any]) -> list[str]:
    """What ends an answer."""
    until = options.get("until") or []
    return [stop for stop in ([until] if isinstance(until, str) else until) if stop]


def _sampling(options: Mapping[str, Any]) -> dict[str, Any]:
    """Greedy unless the task asks for sampling; the checkpoint's own sampling defaults never decide."""
    temperature = float(options.get("temperature") or 0.0)
    if not options.get("do_sample", temperature > 0.0):
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    names = ("temperature", "top_p", "top_k", "repetition_penalty")
    return {"do_sample": True, **{name: options[name] for name in names if name in options}}
