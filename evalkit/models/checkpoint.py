"""Model folders and hub names: found, identified by their bytes, loaded, and adapters laid over them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datakit.core.adapters import ADAPTER_FILES, base_name, is_adapter, lay_over, take_off
from datakit.core.errors import ModelError
from datakit.core.hashing import tree_digest
from evalkit.errors import EvalError

__all__ = [
    "adapter_digest",
    "check_adapter",
    "same_weights",
    "tokenizer_digest",
    "weights_digest",
    "with_adapter",
]

_TOKENIZER = ("tokenizer*", "special_tokens_map.json", "chat_template*", "vocab.*", "merges.txt", "*.model")


def weights_digest(folder: Path) -> str:
    """Hash of the bytes that make the model: weights and configuration."""
    names = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json")
    return tree_digest(folder, names, deep=False)


def adapter_digest(folder: Path) -> str:
    """Hash of an adapter's bytes."""
    return tree_digest(folder, ADAPTER_FILES, deep=False)


def tokenizer_digest(folder: Path) -> str:
    """Hash of the tokenizer's files, its chat template included."""
    return tree_digest(folder, _TOKENIZER, deep=False)


def check_adapter(adapter: Path, base: Path) -> Path:
    """Checks that a folder holds an adapter, and, where the base it names is a local folder, that it is this base.

    Raises:
        EvalError: No adapter, or one of another base.
    """
    adapter = Path(adapter)
    if not is_adapter(adapter) or not any(adapter.glob("*.safetensors")):
        raise EvalError(
            "no adapter: adapter_config.json or *.safetensors missing",
            where=adapter,
            hint="A full fine-tuned model is evaluated as a model of its own",
        )
    try:
        named = base_name(adapter)
    except ModelError as error:
        raise EvalError(error.message, where=error.where) from None
    there = bool(named) and Path(named).resolve() != base.resolve() and any(Path(named).glob("*.safetensors"))
    if there and weights_digest(Path(named)) != weights_digest(base):
        raise EvalError(f"the adapter was trained on another base, '{named}', not on '{base}'", where=adapter)
    return adapter


@contextlib.contextmanager
def with_adapter(model: Any, adapter: Path) -> Iterator[Any]:
    """The model with an adapter over it; afterwards the base is as it was.

    Raises:
        EvalError: The adapter does not fit, or changes nothing: its weights are zero or were never applied.
    """
    import warnings

    import torch

    before = _probe(model)
    names = {name for name, _ in model.named_parameters()}
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            tuned = lay_over(model, adapter)
    except (ModelError, ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        line = " ".join(str(error).split())[:200]
        raise EvalError(f"the adapter does not fit this base: {line}", where=adapter) from error
    missing = [str(one.message) for one in said if "missing adapter keys" in str(one.message)]
    try:
        if missing:
            raise EvalError(f"the adapter does not fit this base: {missing[0][:200]}", where=adapter)
        if torch.equal(_probe(tuned), before):
            raise EvalError(
                "the adapter changes nothing: the model answers exactly as its base",
                where=adapter,
                hint="It was not trained, or its weights were not applied",
            )
        yield tuned
    finally:
        take_off(tuned)
        vars(model).pop("peft_config", None)
        if {name for name, _ in model.named_parameters()} != names or not torch.equal(_probe(model), before):
            raise EvalError(
                "the base is not what it was after its adapter was taken off",
                where=adapter,
                hint="Merge the adapter into its base and evaluate it as a model",
            )


def _probe(model: Any) -> Any:
    """Logits on a fixed sequence of tokens from all over the vocabulary."""
    import torch

    size = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(1, 33, device=model.device).mul_(7919).remainder_(size)[None]
    with torch.inference_mode():
        return model(input_ids=ids, use_cache=False).logits.float().cpu()


def same_weights(first: Path, second: Path) -> bool:
    """Whether two model folders hold equal tensors, however they are cut into files: a model that was not trained."""
    from safetensors import safe_open

    def places(folder: Path) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                found |= dict.fromkeys(file.keys(), path)
        return found

    import torch

    ours, theirs = places(first), places(second)
    if set(ours) != set(theirs):
        return False
    for name, path in ours.items():
        with safe_open(path, framework="pt") as one, safe_open(theirs[name], framework="pt") as other:
            if not torch.equal(one.get_tensor(name), other.get_tensor(name)):
                return False
    return True
