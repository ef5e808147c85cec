"""A tokenizer with more tokens than the model has embeddings: the model grows, and what grew is trained and saved."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from train.adapters import Adapter
from train.checks import Finding
from train.errors import TrainError
from train.masking import Row

__all__ = ["check_saved_vocabulary", "check_vocabulary", "fit_vocabulary"]


def check_vocabulary(model: Any, tokenizer: Any, rows: Iterable[Row]) -> Finding:
    """Every token of the data has an embedding.

    Raises:
        TrainError: The tokenizer has tokens that the model does not know.
    """
    held, highest = _sizes(model, rows)
    if highest < held:
        return Finding("vocabulary", True, f"all tokens are among the model's {held:,}")
    raise TrainError(
        f"the tokenizer ({len(tokenizer)} tokens) makes token {highest}, the model has {held} embeddings",
        hint="Use the tokenizer that belongs to the model; if tokens were added: resize_vocabulary: true",
    )


def fit_vocabulary(model: Any, tokenizer: Any, rows: Iterable[Row], *, grow: bool, adapter: Adapter) -> Finding:
    """The same, by growing the model where that is wanted.

    New rows of both matrices are drawn around the mean of the others, as transformers does.

    Raises:
        TrainError: The model may not or cannot grow.
    """
    rows = list(rows)
    held, highest = _sizes(model, rows)
    if highest < held or not grow:
        return check_vocabulary(model, tokenizer, rows)
    if not adapter.trains_base:
        raise TrainError(
            f"token {highest} of the tokenizer has no embedding ({held}), and resize_vocabulary needs adapter full: "
            "an adapter leaves new embeddings untrained",
            hint="Train full first, then adapters over that model",
        )
    model.resize_token_embeddings(len(tokenizer))
    return Finding("vocabulary", True, f"grown from {held:,} to {len(tokenizer):,} tokens")


def _sizes(model: Any, rows: Iterable[Row]) -> tuple[int, int]:
    """Embeddings of the model, and the highest token of the rows."""
    held = int(model.get_input_embeddings().weight.shape[0])
    return held, max((int(row.ids.max()) for row in rows), default=0)


def check_saved_vocabulary(model: Any, folder: Path) -> None:
    """The saved model has as many embeddings as the one in memory, in its weights and its config.

    Raises:
        TrainError: It has not: what was added would be lost.
    """
    import json

    from safetensors import safe_open

    weight = model.get_input_embeddings().weight
    size = int(weight.shape[0])
    name = next(name for name, value in model.named_parameters() if value is weight)
    config = json.loads((folder / "config.json").read_bytes())
    found = {**config, **config.get("text_config", {})}.get("vocab_size")
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            if name in tensors.keys() and found == size:  # noqa: SIM118 (a safetensors file is no mapping)
                found = tensors.get_slice(name).get_shape()[0]
    if found != size:
        raise TrainError(f"the saved model has {found} embeddings, the trained one {size}", where=folder)
