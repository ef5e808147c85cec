"""Finding and loading a causal language model and its tokenizer: safetensors only, no code from the model's folder."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datakit.core.errors import Unreachable
from datakit.core.require import require
from train.errors import TrainError

__all__ = ["find_model", "load_model", "load_tokenizer", "longest_length", "no_progress_bars", "stored_dtype"]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_HUB_LEFT = ["original/*", "consolidated*"]


def find_model(model: Path | str, *, offline: bool = False) -> Path:
    """The folder of a model; a Hub name is downloaded to the Hub's own cache, or looked up there with ``offline``.

    Raises:
        TrainError: The path is no model, or its weights are not safetensors.
        Unreachable: The Hub does not answer or does not give it out.
    """
    folder = Path(model).expanduser()
    if not folder.exists() and isinstance(model, str) and _HUB_NAME.fullmatch(model):
        folder = _from_hub(model, offline=offline)
    if not folder.is_dir():
        raise TrainError(f"no model at '{model}': no such folder", hint="Give a model folder or a Hub name")
    if (folder / "adapter_config.json").exists():
        raise TrainError(f"'{model}' is an adapter, not a model", hint="Give the model it was trained on")
    if not (folder / "config.json").exists():
        raise TrainError(f"no model at '{model}': the folder has no config.json")
    if not any(folder.glob("*.safetensors")):
        raise TrainError(f"'{model}' has no .safetensors weights; pickled weights are never read")
    return folder


def _from_hub(name: str, *, offline: bool) -> Path:
    hub = require("huggingface_hub", extra="train")
    try:
        found = hub.snapshot_download(
            name, allow_patterns=_HUB_FILES, ignore_patterns=_HUB_LEFT, local_files_only=offline
        )
    except (OSError, ValueError) as error:  # huggingface_hub's errors derive from these two
        why = "it is not in the local cache and the network is off" if offline else type(error).__name__
        raise Unreachable(
            f"the model '{name}' is no local folder and the Hub does not give it ({why})",
            hint="Check the name and the network, log in if it is gated, or give a folder",
        ) from error
    return Path(found)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise TrainError(f"config.json is not readable ({error})", where=folder) from error
    return {**config, **config.get("text_config", {})}


def stored_dtype(folder: Path) -> str:
    """The data type a model's weights are stored in, ``float32`` where its config does not say."""
    config = _config(folder)
    return str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")


def longest_length(folder: Path, wanted: int | None) -> int:
    """The longest row in tokens: the wanted one, or 2,048 or what the model holds where that is less.

    Raises:
        TrainError: More is wanted than the model holds.
    """
    config = _config(folder)
    held = config.get("max_position_embeddings") or config.get("n_positions")
    if not isinstance(held, int):
        return wanted or 2048
    if wanted is not None and wanted > held:
        raise TrainError(f"max_length {wanted} is more than the {held} tokens this model holds")
    return wanted or min(2048, held)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a model's folder.

    Raises:
        TrainError: There is none, or it is not readable.
    """
    transformers = require("transformers", extra="train")
    try:
        return transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainError(f"no usable tokenizer ({_first_line(error)})", where=folder) from error


def load_model(folder: Path, dtype: Any) -> Any:
    """The causal language model in a folder, on the CPU.

    Raises:
        TrainError: It is none, needs code of its own, or weights are missing.
    """
    transformers = require("transformers", extra="train")
    safetensors = require("safetensors", extra="train")
    try:
        with no_progress_bars():
            model, loading = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except MemoryError:
        raise
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise TrainError(f"not loadable as a causal language model ({_first_line(error)})", where=folder) from error
    if missing := sorted(loading["missing_keys"]):
        raise TrainError(
            f"not a whole causal language model: {len(missing)} weights are missing, '{missing[0]}' first", where=folder
        )
    return model


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keeps transformers' own bars off the terminal while a model is read or written."""
    logging = require("transformers", extra="train").utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
