"""Saving: a whole folder or nothing, safetensors only."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.checkpoint import no_progress_bars
from datakit.core.storage import atomic_directory, write_json, write_text
from train.adapters import Adapter
from train.callbacks.keep import CHECKPOINTS
from train.checks.vocabulary import check_saved_vocabulary
from train.errors import TrainError
from train.journal import Journal
from train.manifest import FORMAT, Facts, card, manifest
from train.preflight import check_stops

if TYPE_CHECKING:
    from train.plan import Plan

__all__ = [
    "MANIFEST",
    "TOKENIZER_FILES",
    "check_output",
    "copy_tokenizer",
    "same_modes",
    "save",
    "set_stop_tokens",
    "system_errors",
    "write_weights",
]

MANIFEST = "train.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
    "chat_template.jinja",
)


def check_output(output: Path) -> None:
    """Refuses to replace what is not ours.

    Raises:
        TrainError: ``output`` is a file, or a folder with something else than an earlier model of ours.
    """
    if output.is_file():
        raise TrainError("the output is a file; a folder is written", where=output)
    if output.is_dir() and any(output.iterdir()) and not (output / MANIFEST).exists():
        raise TrainError(
            f"the output folder exists and has no {MANIFEST}, so it is not replaced", where=output, hint="Give another"
        )


def save(model: Any, plan: Plan, *, facts: Facts, journal: Journal, checkpoints: Path) -> None:
    """Writes weights, tokenizer, manifest, model card and log; the folder appears whole or not at all.

    Args:
        model: Trained.
        plan: Says where, and how weights are written; the log moves into the folder.
        facts: For the manifest.
        journal: For the manifest.
        checkpoints: Folder of the states kept on the way, if any; it moves into the folder.
    """
    import torch

    with atomic_directory(plan.output) as folder:
        plan.write(model, folder)
        if checkpoints.is_dir():
            checkpoints.rename(folder / CHECKPOINTS)
        peak = torch.cuda.max_memory_allocated() if model.device.type == "cuda" else None
        content = manifest(facts, journal, folder=folder, peak_memory=peak)
        write_json(folder / MANIFEST, content, format=FORMAT)
        write_text(folder / "README.md", card(facts, content))
        shutil.copyfile(plan.log, folder / "log.jsonl")
    plan.log.unlink()


def write_weights(model: Any, adapter: Adapter, *, base: Path, folder: Path, stops: list[int], dtype: Any) -> None:
    """Writes what was trained, and the tokenizer, into a folder; the model in memory stays as it was.

    Args:
        model: Trained, or on its way.
        adapter: Writes the weights.
        base: Folder of the model it came from; the tokenizer's files are copied from there as they are.
        folder: Empty.
        stops: Ids that end an answer.
        dtype: Of the saved weights of a full model.
    """
    set_stop_tokens(model, stops)
    with _stored_as(model, dtype if adapter.trains_base else None), no_progress_bars(), system_errors():
        adapter.save(model, folder)
    if stops and model.can_generate():  # a reward model says nothing
        check_stops(model.generation_config, stops)
    if adapter.trains_base and model.can_generate():
        check_saved_vocabulary(model, folder)
    copy_tokenizer(base, folder)
    same_modes(folder)


def copy_tokenizer(base: Path, folder: Path) -> None:
    """The base's tokenizer files, byte for byte."""
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)


def same_modes(folder: Path) -> None:
    """Makes weights as readable as what lies beside them: safetensors writes files that only their owner may read."""
    written = next(file for file in folder.iterdir() if file.suffix == ".json")
    for file in folder.glob("*.safetensors"):
        shutil.copymode(written, file)


@contextlib.contextmanager
def _stored_as(model: Any, dtype: Any) -> Iterator[None]:
    """The parameters in the data type they are saved in while the block runs; the float32 ones come back unrounded."""
    masters = {
        parameter: parameter.data
        for parameter in (model.parameters() if dtype is not None else ())
        if parameter.is_floating_point() and parameter.dtype != dtype
    }
    for parameter, data in masters.items():
        parameter.data = data.to(dtype)
    try:
        yield
    finally:
        for parameter, data in masters.items():
            parameter.data = data


@contextlib.contextmanager
def system_errors() -> Iterator[None]:
    """Safetensors hides errors of the operating system, a full disk above all, in one of its own."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        if number := re.search(r"\(os error (\d+)\)", str(error)):
            code = int(number.group(1))
            raise OSError(code, os.strerror(code)) from error
        raise


def set_stop_tokens(model: Any, stops: list[int]) -> None:
    """Generation stops at the trained end of turn too: a base model's config often knows its EOS token only."""
    settings = getattr(model, "generation_config", None)
    if settings is None or not stops:  # an encoder generates nothing, and plain text has no turns to end
        return
    known = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
    merged = [id for id in known if id is not None]
    merged += [id for id in stops if id not in merged]
    settings.eos_token_id = merged[0] if len(merged) == 1 else merged
