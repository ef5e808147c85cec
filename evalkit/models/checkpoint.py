"""Model folders and hub names: found, identified by their bytes, loaded, and adapters laid over them."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datakit.core.errors import Unreachable
from datakit.core.hashing import tree_digest
from evalkit.errors import EvalError

__all__ = [
    "adapter_digest",
    "check_adapter",
    "checkpoint_dtype",
    "find_model",
    "load_model",
    "same_weights",
    "tokenizer_digest",
    "weights_digest",
    "with_adapter",
]

_HUB = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_TOKENIZER = ("tokenizer*", "special_tokens_map.json", "chat_template*", "vocab.*", "merges.txt", "*.model")


def find_model(model: str | Path, *, offline: bool = False) -> Path:
    """The folder of a model: the path itself, or the hub's snapshot in the local cache, fetched where allowed.

    Raises:
        EvalError: A path that is no model folder, or no model of that name on the hub.
        Unreachable: The hub does not answer, or may not be asked.
    """
    folder = Path(model)
    if folder.is_dir():
        if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
            raise EvalError(
                "this is an adapter, not a model", where=folder, hint="Give its base, and this as the adapter"
            )
        for name, pattern in (("config.json", "config.json"), ("weights", "*.safetensors")):
            if not any(folder.glob(pattern)):
                raise EvalError(
                    f"no model: {name} ({pattern}) missing", where=folder, hint="Give a Hugging Face folder"
                )
        return folder
    if folder.exists() or not _HUB.match(str(model)):
        raise EvalError(
            f"no model folder '{model}'", hint="Give a folder with config.json and *.safetensors, or a hub name"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    wanted = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(str(model), allow_patterns=wanted, local_files_only=offline))
    except RepositoryNotFoundError:
        raise EvalError(f"no folder and no model on the hub named '{model}'") from None
    except (LocalEntryNotFoundError, ConnectionError) as error:
        said = "the network is switched off" if offline else f"the hub does not answer ({str(error).splitlines()[0]})"
        raise Unreachable(
            f"there is no folder '{model}', and {said}",
            hint="Give the path of a model folder, or fetch the model first",
        ) from None


def weights_digest(folder: Path) -> str:
    """Hash of the bytes that make the model: weights and configuration."""
    return tree_digest(folder, ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json"))


def adapter_digest(folder: Path) -> str:
    """Hash of an adapter's bytes."""
    return tree_digest(folder, ("adapter_config.json", "*.safetensors"))


def tokenizer_digest(folder: Path) -> str:
    """Hash of the tokenizer's files, its chat template included."""
    return tree_digest(folder, _TOKENIZER)


def load_model(folder: Path, *, device: str, dtype: str) -> tuple[Any, Any]:
    """Model in evaluation mode on its device, and its fast tokenizer; no code of the checkpoint is run.

    Raises:
        EvalError: transformers cannot load it.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as told

    bars = told.is_progress_bar_enabled()
    told.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        raise EvalError(f"transformers cannot load it: {str(error).strip().splitlines()[0]}", where=folder) from error
    finally:
        if bars:
            told.enable_progress_bar()
    if not getattr(tokenizer, "is_fast", False):
        raise EvalError("no fast tokenizer (tokenizer.json)", where=folder)
    return model.to(device).eval(), tokenizer


def checkpoint_dtype(folder: Path) -> str:
    """The dtype written in ``config.json``; float32 where none is."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    text = config.get("text_config") or {}
    return str(config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or "float32")


def check_adapter(adapter: Path, base: Path) -> Path:
    """Checks that a folder holds an adapter, and, where the base it names is a local folder, that it is this base.

    Raises:
        EvalError: No adapter, or one of another base.
    """
    adapter = Path(adapter)
    config = adapter / "adapter_config.json"
    if not config.is_file() or not any(adapter.glob("*.safetensors")):
        raise EvalError(
            "no adapter: adapter_config.json or *.safetensors missing",
            where=adapter,
            hint="A full fine-tuned model is evaluated as a model of its own",
        )
    try:
        named = json.loads(config.read_text("utf-8")).get("base_model_name_or_path") or ""
    except ValueError:
        raise EvalError("not valid JSON", where=config) from None
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
    from peft import PeftModel

    before = _probe(model)
    names = {name for name, _ in model.named_parameters()}
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            tuned = PeftModel.from_pretrained(model, str(adapter), is_trainable=False).eval()
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
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
        if hasattr(tuned.base_model, "unload"):
            tuned.base_model.unload()
        # PEFT leaves its configuration behind and warns of a second adapter the next time.
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
