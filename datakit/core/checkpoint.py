"""Model folders and Hub names: found, and loaded without running code of theirs.

Training, evaluation and questions all start here, so that the same word names the same weights everywhere.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from datakit.core.adapters import is_adapter
from datakit.core.errors import ModelError, Unreachable
from datakit.core.require import require

__all__ = [
    "Architecture",
    "empty_model",
    "find_model",
    "load_model",
    "load_tokenizer",
    "no_progress_bars",
    "stored_dtype",
]

Architecture = Literal["causal", "masked", "reward"]

_CLASSES = {
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "reward": "AutoModelForSequenceClassification",
}
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w./-]+)?")
# What is fetched: never pickled weights, never code; not the second copy some publishers keep.
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_HUB_LEFT = ["original/*", "consolidated*"]


def find_model(model: Path | str, *, offline: bool = False) -> Path:
    """The folder of a model.

    Args:
        model: A folder, or ``org/name[@revision]``, which is downloaded to the Hub's own cache.
        offline: A Hub name is only looked up in that cache.

    Raises:
        ModelError: The path is no model, or its weights are not safetensors.
        Unreachable: The Hub does not answer or does not give it out.
    """
    folder = Path(model).expanduser()
    if not folder.exists() and isinstance(model, str) and _HUB_NAME.fullmatch(model):
        folder = _from_hub(model, offline=offline)
    if not folder.is_dir():
        raise ModelError(f"no model at '{model}': no such folder", hint="Give a model folder or a Hub name")
    if is_adapter(folder):
        raise ModelError(f"'{model}' is an adapter, not a model", hint="Give its base, and this as the adapter")
    if not (folder / "config.json").is_file():
        raise ModelError(f"no model at '{model}': the folder has no config.json")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"'{model}' has no .safetensors weights; pickled weights are never read")
    return folder


def _from_hub(name: str, *, offline: bool) -> Path:
    hub = require("huggingface_hub", extra="train")
    repository, _, revision = name.partition("@")
    try:
        found = hub.snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=_HUB_FILES,
            ignore_patterns=_HUB_LEFT,
            local_files_only=offline,
        )
    except (OSError, ValueError) as error:  # huggingface_hub's errors derive from these two
        why = "it is not in the local cache and the network is off" if offline else type(error).__name__
        raise Unreachable(
            f"the model '{name}' is no local folder and the Hub does not give it ({why})",
            hint="Check the name and the network, log in if it is gated, or give a folder",
        ) from error
    return Path(found)


def stored_dtype(folder: Path) -> str:
    """The data type a model's weights are stored in, ``float32`` where its config does not say.

    Raises:
        ModelError: config.json is not readable.
    """
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"config.json is not readable ({error})", where=folder) from error
    config = {**config, **config.get("text_config", {})}
    return str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer in a model's folder.

    Raises:
        ModelError: There is none, or it is not readable.
    """
    transformers = require("transformers", extra="train")
    try:
        found = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise ModelError(f"no usable tokenizer ({_first_line(error)})", where=folder) from error
    if not getattr(found, "is_fast", False):
        raise ModelError("no fast tokenizer (tokenizer.json)", where=folder)
    # Rows longer than the model holds are cut and counted by who uses them; the library's own warning says nothing.
    found.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    return found


def load_model(
    folder: Path,
    *,
    dtype: Any,
    device: str = "cpu",
    architecture: Architecture = "causal",
    quantization: Any = None,
) -> Any:
    """The language model in a folder, in evaluation mode.

    Args:
        folder: From :func:`find_model`.
        dtype: A torch dtype or its name.
        device: Where it is put.
        architecture: A ``causal`` model, a ``masked`` one (an encoder), or a ``reward`` model: a causal model with
            one number per text in place of the next token; its last layer is drawn anew where the folder has none.
        quantization: A quantization config of transformers; it decides where the model is.

    Raises:
        ModelError: It is none, needs code of its own, or weights are missing.
    """
    transformers = require("transformers", extra="train")
    torch = require("torch", extra="train")
    safetensors = require("safetensors", extra="train")
    try:
        with no_progress_bars(), _no_reports():
            model, loading = getattr(transformers, _CLASSES[architecture]).from_pretrained(
                folder,
                dtype=getattr(torch, dtype) if isinstance(dtype, str) else dtype,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are looked at below, where they can be named
                **({} if quantization is None else {"quantization_config": quantization}),
                **({"num_labels": 1} if architecture == "reward" else {}),
            )
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError, safetensors.SafetensorError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise
        raise ModelError(
            f"not loadable as a {architecture} language model ({_first_line(error)})", where=folder
        ) from error
    if loading["mismatched_keys"]:
        name, stored, wanted = min(loading["mismatched_keys"])
        shapes = [" x ".join(map(str, shape)) for shape in (stored, wanted)]
        raise ModelError(
            f"the weights do not fit config.json: '{name}' is {shapes[0]} and has to be {shapes[1]}", where=folder
        )
    drawn = {"score.weight"} if architecture == "reward" else set()
    if missing := sorted({*loading["missing_keys"]} - drawn):
        raise ModelError(
            f"not a whole {architecture} language model: {len(missing)} weights are missing, '{missing[0]}' first",
            where=folder,
        )
    return (model if quantization is not None else model.to(device)).eval()


def empty_model(folder: Path, *, architecture: Architecture = "causal") -> Any:
    """The language model of a folder without its weights, to count and look at; not to compute with.

    Raises:
        ModelError: It is none, or needs code of its own.
    """
    transformers = require("transformers", extra="train")
    torch = require("torch", extra="train")
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        if architecture == "reward":
            config.num_labels = 1
        with torch.device("meta"):
            return getattr(transformers, _CLASSES[architecture]).from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise ModelError(
            f"not loadable as a {architecture} language model ({_first_line(error)})", where=folder
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keeps transformers' own bars off the terminal while a model is read or written."""
    bars = require("transformers", extra="train").utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


@contextlib.contextmanager
def _no_reports() -> Iterator[None]:
    """Keeps transformers' table of missing weights off the terminal; what is missing is an error of ours, or wanted."""
    logging = require("transformers", extra="train").utils.logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
