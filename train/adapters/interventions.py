"""Interventions on the residual stream as an adapter; the equations and the folder are in :mod:`datakit.core.reft`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from train.adapters import Default
from train.errors import TrainError

if TYPE_CHECKING:
    from datakit.core.reft import Span
    from train.config import Arm

__all__ = [
    "REFT_DEFAULTS",
    "REFT_OPTIONS",
    "intervene",
    "prompt_spans",
    "shown_prompts",
    "shown_spans",
    "write_interventions",
]

REFT_DEFAULTS: Mapping[str, Default] = {
    "learning_rate": Default(9e-4, "as for common sense in arXiv 2404.03592"),
    "rank": Default(8, "as for common sense in arXiv 2404.03592"),
}
REFT_OPTIONS: Mapping[str, Default] = {
    "layers": Default("all", "or a list of blocks, counted from 0"),
    "first": Default(7, "tokens at the beginning of the prompt, as in arXiv 2404.03592"),
    "last": Default(7, "tokens at its end"),
    "tied": Default(True, "the same parameters at both ends; half as many"),
    "identity": Default(False, "start so that nothing is changed: W = R and b = 0, or V = 0"),
}


def intervene(model: Any, arm: Arm, method: Literal["loreft", "direft"]) -> Any:
    """Freezes the model and hangs interventions into it.

    Raises:
        TrainError: Options that are none.
    """
    from datakit.core.reft import ReftConfig, attach, blocks

    if arm.objective != "sft":
        raise TrainError(
            f"adapter {method} changes prompts, and objective {arm.objective} has none to tell apart",
            hint="Take objective sft, or adapter lora",
        )
    wanted = {name: arm.options.get(name, default.value) for name, default in REFT_OPTIONS.items()}
    for name in ("first", "last"):
        if type(wanted[name]) is not int or wanted[name] < 0:
            raise TrainError(f"options: {name} is a number of tokens, not '{wanted[name]}'")
    for name in ("tied", "identity"):
        if type(wanted[name]) is not bool:
            raise TrainError(f"options: {name} is true or false, not '{wanted[name]}'")
    if not wanted["first"] + wanted["last"]:
        raise TrainError("options: first and last are both 0, so that no token is changed")
    layers = range(len(blocks(model))) if wanted["layers"] == "all" else wanted["layers"]
    if isinstance(layers, str) or not all(type(layer) is int for layer in layers) or not layers:
        raise TrainError(f"options: layers is 'all' or a list of numbers, not '{wanted['layers']}'")
    size = model.get_input_embeddings().embedding_dim
    if (arm.rank or 0) > size:
        raise TrainError(f"rank {arm.rank} is more than the {size} of this model's hidden states")
    model.requires_grad_(False)
    config = ReftConfig(
        method=method,
        rank=arm.rank or 1,
        layers=tuple(layers),
        first=wanted["first"],
        last=wanted["last"],
        tied=wanted["tied"],
        base_model_name_or_path=model.name_or_path,
    )
    return attach(model, config, identity=wanted["identity"])


def write_interventions(model: Any, folder: Path) -> None:
    """Writes reft.safetensors and reft_config.json."""
    from datakit.core.reft import write

    write(model, folder)


def prompt_spans(batch: Any) -> list[Span]:
    """Where the prompts of a batch are: in every document, what stands before the first trained token.

    A batch has ``ids`` of shape (rows, longest) and ``positions``, the flat places whose next token is trained; where
    rows are packed, one behind the other, also ``documents`` with their ends.

    Raises:
        TrainError: The batch is of another kind.
    """
    ids, positions = getattr(batch, "ids", None), getattr(batch, "positions", None)
    if ids is None or positions is None:
        raise TrainError("interventions on prompts are trained with objective sft alone", hint="Take adapter lora")
    width = int(ids.shape[-1])
    starts = [row * width for row in range(ids.shape[0])]
    if (documents := getattr(batch, "documents", None)) is not None:
        starts = [int(at) for at in documents.ends[:-1]]
    spans: list[Span] = []
    ends = [*starts[1:], ids.numel()]
    trained = positions.tolist()
    place = 0
    for start, end in zip(starts, ends, strict=True):
        if place < len(trained) and trained[place] < end:
            row = start // width
            spans.append((row, start - row * width, trained[place] + 1 - row * width))
            while place < len(trained) and trained[place] < end:
                place += 1
    return spans


def shown_prompts(model: Any, batch: Any) -> contextlib.AbstractContextManager[None]:
    """Tells a model with interventions where the batch's prompts are; nothing for any other model."""
    return shown_spans(model, prompt_spans(batch)) if hasattr(model, "reft") else contextlib.nullcontext()


def shown_spans(model: Any, spans: Sequence[Span]) -> contextlib.AbstractContextManager[None]:
    """The same of prompts whose places are known."""
    if not hasattr(model, "reft"):
        return contextlib.nullcontext()
    from datakit.core.reft import prompts

    return prompts(spans)
