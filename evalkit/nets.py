"""What is checked before a tuned model is evaluated, so that no run ends with figures about the wrong thing.

What makes the figures wrong is an error; what a user may have meant is a warning, and travels with the log.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.adapters import is_adapter
from evalkit.errors import EvalError
from evalkit.log import EvalLog

if TYPE_CHECKING:
    from datakit.core.chat import ChatSettings

__all__ = ["check_tuned", "training_warnings", "with_notes"]


def check_tuned(tuned: Path, base: Path) -> None:
    """A tuned model must differ from its base.

    An adapter is tried out when it is laid over the base (``evalkit.models.checkpoint.with_adapter``); here the weights
    of full models are compared, and an adapter's are looked at before anything is loaded.

    Args:
        tuned: Folder of weights, or of an adapter.
        base: Folder of the model before.

    Raises:
        EvalError: Equal weights, or an adapter of another base or without effect.
    """
    from evalkit.models.checkpoint import check_adapter, same_weights

    if is_adapter(tuned):
        check_adapter(tuned, base)
        if _is_idle(tuned):
            raise EvalError(
                "the adapter changes nothing: the half of it that starts at zero is still zero",
                where=tuned,
                hint="It was not trained, or saved before its training",
            )
        return
    if base.is_dir() and any(tuned.glob("*.safetensors")) and same_weights(tuned, base):
        raise EvalError(
            f"the tuned model has the weights of its base '{base}'", where=tuned, hint="Is this the folder you trained?"
        )


def _is_idle(adapter: Path) -> bool:
    """Whether every ``lora_B`` of a LoRA is zero, as it is before training; other adapters are not judged."""
    from safetensors import safe_open

    found = False
    for path in adapter.glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (a safetensors file is no mapping)
                if ".lora_B." not in name:
                    continue
                found = True
                try:
                    if file.get_tensor(name).any():
                        return False
                except TypeError:  # bfloat16 is not known to numpy
                    return False
    return found


def training_warnings(tuned: Path, base: Path, *, chat: ChatSettings) -> list[str]:
    """Where evaluation would not show the model what training showed it.

    Args:
        tuned: Folder of weights or adapter; its ``train.json``, where training wrote one, says the chat settings.
        base: Folder of the model before, whose tokenizer an adapter is evaluated with.
        chat: Settings of the evaluation.

    Raises:
        EvalError: A ``train.json`` that is not readable.
    """
    said = _tokenizers(tuned, base)
    trained, now = _json(tuned / "train.json").get("chat"), chat.model_dump()
    if isinstance(trained, Mapping):
        said += [
            f"'{tuned.name}' was trained with chat setting {name} = {trained[name]!r} and is evaluated with "
            f"{now[name]!r}: its answers may be worse than it is."
            for name in now
            if name in trained and trained[name] != now[name]
        ]
    return said


def _tokenizers(tuned: Path, base: Path) -> list[str]:
    """Whether the tokenizer that lies with a tuned model (special tokens and chat template included) is its base's."""
    from evalkit.models.checkpoint import tokenizer_digest

    if not all((folder / "tokenizer.json").is_file() for folder in (tuned, base)):
        return []
    if tokenizer_digest(tuned) == tokenizer_digest(base):
        return []
    what = "chat template" if _template(tuned) != _template(base) else "tokenizer or special tokens"
    if is_adapter(tuned):
        return [f"'{tuned.name}' was trained with another {what} than the base's, which it is evaluated with."]
    return [f"'{tuned.name}' has another {what} than its base: both may not see the same tokens."]


def _template(folder: Path) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    return str(_json(folder / "tokenizer_config.json").get("chat_template") or "")


def _json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise EvalError(f"not valid JSON ({error})", where=path) from None
    return value if isinstance(value, Mapping) else {}


def with_notes(log: EvalLog, notes: Sequence[str]) -> EvalLog:
    """The log with further notes, each once."""
    found = tuple(dict.fromkeys([*log.header.notes, *notes]))
    return EvalLog(dataclasses.replace(log.header, notes=found), log.items)
