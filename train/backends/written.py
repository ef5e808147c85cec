"""What a backend wrote, looked at: it is readable, finite, loads, and says something else than its base."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datakit.core.adapters import PEFT_CONFIG, REFT_CONFIG, is_adapter, lay_over, switched_off
from datakit.core.checkpoint import load_model
from datakit.core.errors import ModelError
from train.adapters.interventions import shown_prompts
from train.checks.vocabulary import check_vocabulary
from train.data import batches
from train.errors import TrainError
from train.objectives import Objective, Referring, parts, validation_rows
from train.prepare import Prepared

__all__ = ["Written", "examine", "versions_of"]

_CONFIGS = ("config.json", PEFT_CONFIG, REFT_CONFIG)


@dataclass(frozen=True, slots=True)
class Written:
    """What stands in a folder.

    Attributes:
        adapter: An adapter, not a whole model.
        parameters: In its files.
        validation_loss: Of the model it gives; None without a validation split.
    """

    adapter: bool
    parameters: int
    validation_loss: float | None


def examine(folder: Path, ready: Prepared, objective: Objective, *, batch_size: int, device: str) -> Written:
    """Loads what was written and compares it with the base.

    Args:
        folder: Weights or an adapter.
        ready: Of the training.
        objective: Measures the validation loss.
        batch_size: Rows at once.
        device: Where it is tried.

    Raises:
        TrainError: No weights, weights that cannot be read, are not finite, do not load, or are the base's.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        found = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
        raise TrainError("no .safetensors weights were written", where=folder, hint=f"There is: {found}")
    if not any((folder / name).is_file() for name in _CONFIGS):
        raise TrainError(f"the weights came without {', '.join(_CONFIGS[:-1])} or {_CONFIGS[-1]}", where=folder)
    adapter = is_adapter(folder)
    if not adapter:
        _check_differs(files, ready.folder)
    parameters = _check_finite(files)
    tried = _Tried(ready, objective, batch_size, device)
    loss = tried.adapter(folder) if adapter else tried.whole(folder)
    if loss is not None and not math.isfinite(loss):
        raise TrainError(f"the validation loss of what was written is {loss}", where=folder)
    return Written(adapter, parameters, loss)


@dataclass(frozen=True, slots=True)
class _Tried:
    """Tries what was written on rows."""

    ready: Prepared
    objective: Objective
    batch_size: int
    device: str

    def whole(self, folder: Path) -> float | None:
        """Validation loss of a whole model."""
        rows = validation_rows(self.objective, self.ready.validation.rows)
        if rows and isinstance(self.objective, Referring):
            rows = self._referred(self._base(), rows)
        try:
            model = self._load(folder)
        except ModelError as error:
            raise TrainError(f"what was written does not load: {error.message}", where=folder) from error
        check_vocabulary(model, self.ready.tokenizer, parts([*self.ready.train.rows, *rows]))
        return self._loss(model, rows)

    def adapter(self, folder: Path) -> float | None:
        """Validation loss of the base with an adapter; the base's own is another."""
        model = _adapted(folder, self._base(), self.device)
        rows = validation_rows(self.objective, self.ready.validation.rows)
        tried = validation_rows(self.objective, self.ready.train.rows[:8])
        with switched_off(model):
            rows, tried = self._referred(model, rows), self._referred(model, tried)
            before = self._loss(model, tried)
        if self._loss(model, tried) == before:
            raise TrainError(
                "with the adapter that was written the model says exactly what its base says", where=folder
            )
        return self._loss(model, rows)

    def _base(self) -> Any:
        return self._load(self.ready.folder)

    def _load(self, folder: Path) -> Any:
        architecture = self.objective.architecture
        return load_model(folder, dtype="float32", device=self.device, architecture=architecture)

    def _referred(self, model: Any, rows: list[Any]) -> list[Any]:
        if not rows or not isinstance(self.objective, Referring):
            return rows
        return self.objective.refer(model, rows, batch_size=self.batch_size, pad=self.ready.pad)

    def _loss(self, model: Any, rows: list[Any]) -> float | None:
        import torch

        if not rows:
            return None
        total, weight = 0.0, 0.0
        made = batches(rows, batch_size=self.batch_size, pad=self.ready.pad, collate=self.objective.collate)
        with torch.inference_mode():
            for batch in made:
                with shown_prompts(model, batch):
                    total += float(self.objective.loss(model, batch.to(model.device)).total)
                weight += batch.weight
        return total / weight


def _tensors(files: list[Path]) -> Iterator[tuple[str, Any]]:
    from safetensors import SafetensorError, safe_open

    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - it is no mapping
                    yield name, opened.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise TrainError(
                f"{file.name} is not readable ({' '.join(str(error).split())[:120]})", where=file
            ) from None


def _check_finite(files: list[Path]) -> int:
    parameters = 0
    for name, value in _tensors(files):
        parameters += value.numel()
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise TrainError(f"the weight '{name}' holds NaN or infinite values", where=files[0].parent)
    if not parameters:
        raise TrainError("the weights are empty", where=files[0].parent)
    return parameters


def _check_differs(files: list[Path], base: Path) -> None:
    import torch

    before = dict(_names(sorted(base.glob("*.safetensors"))))
    for name, value in _tensors(files):
        held = before.get(name)
        if held is None:
            continue
        old = _one(held, name)
        if old.shape != value.shape or not torch.equal(old.to(value.dtype), value):
            return
    raise TrainError("what was written is the base model, unchanged", where=files[0].parent)


def _names(files: list[Path]) -> Iterator[tuple[str, Path]]:
    from safetensors import safe_open

    for file in files:
        with safe_open(file, framework="pt") as opened:
            yield from ((name, file) for name in opened.keys())  # noqa: SIM118 - it is no mapping


def _one(file: Path, name: str) -> Any:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return opened.get_tensor(name)


def _adapted(folder: Path, base: Any, device: str) -> Any:
    try:
        if (folder / PEFT_CONFIG).is_file() and "peft_type" not in json.loads((folder / PEFT_CONFIG).read_bytes()):
            raise TrainError(f"{PEFT_CONFIG} names no peft_type", where=folder)
        with warnings.catch_warnings():
            # PEFT only warns of weights that are missing.
            warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
            model = lay_over(base, folder)
    except (ModelError, ValueError, TypeError, KeyError, RuntimeError, AttributeError, UserWarning) as error:
        line = " ".join(str(error).split())[:200]
        raise TrainError(f"the adapter that was written does not load over its base: {line}", where=folder) from error
    return model.to(device).eval()


def versions_of(*names: str) -> Mapping[str, str]:
    """Versions of installed distributions, by name."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
