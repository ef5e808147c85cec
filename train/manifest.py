"""What stands beside the weights: train.json for programs, a model card for people. Neither holds training text."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from datakit.core.chat import ChatSettings
from datakit.core.hashing import digest, file_digest, json_digest
from train.callbacks.keep import CHECKPOINTS
from train.checks import Finding
from train.config import Arm

__all__ = ["FORMAT", "Course", "Facts", "Source", "card", "data_digest", "manifest", "training_key"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Source:
    """What a training is made from, beside the arm.

    Attributes:
        model: As the user named it.
        model_digest: Of its weights.
        data_digest: Of the training, validation and replay files.
        chat: Chat settings.
        seed: Of data order, initialisation and dropout.
    """

    model: str
    model_digest: str
    data_digest: str
    chat: ChatSettings
    seed: int


def training_key(arm: Arm, source: Source, *, modules: str = "") -> str:
    """Hash of all that determines the weights; where a model is called something else it stays the same.

    Args:
        arm: A concrete arm.
        source: Model, data, chat settings and seed.
        modules: Hash of what of the user's it is trained with (:meth:`Arm.modules_digest`).
    """
    parts = (source.model_digest, source.data_digest, json_digest(source.chat.model_dump()), source.seed)
    return digest("training", json_digest(arm.training), *parts, *([modules] if modules else []))


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a run before it starts.

    Attributes:
        arm: The concrete arm.
        seed: Of data order, initialisation and dropout.
        model: As the user named it.
        model_digest: Of its weights.
        data_digest: Of the training, validation and replay files.
        chat: Chat settings.
        rows: Counts of rows: train, validation, replay; truncated and dropped of train.
        steps: Optimizer steps.
        steps_per_epoch: Steps in which every training row comes once.
        trainable_parameters: Parameters that are trained.
        total_parameters: All, the adapter's included.
        device: ``cpu`` or the GPU's name.
        precision: ``float32`` or ``bfloat16``.
        max_length: Longest row in tokens.
        stop_tokens: Ids that end an answer.
        base_bytes: Of the base's weights on disk: what a full copy takes.
        checks: What was checked; what is found later is added.
    """

    arm: Arm
    seed: int
    model: str
    model_digest: str
    data_digest: str
    chat: ChatSettings
    rows: Mapping[str, int]
    steps: int
    steps_per_epoch: int
    trainable_parameters: int
    total_parameters: int
    device: str
    precision: str
    max_length: int
    stop_tokens: list[int]
    base_bytes: int = 0
    checks: list[Finding] = field(default_factory=list)


class Course(Protocol):
    """How a training went: our own loop's journal, or what a backend told."""

    @property
    def history(self) -> list[dict[str, Any]]:
        """One entry per logging step and per validation."""
        ...

    @property
    def seconds(self) -> float:
        """Time spent training."""
        ...

    @property
    def trained_tokens(self) -> int:
        """Tokens trained; 0 where it is not known."""
        ...

    @property
    def tokens(self) -> int:
        """All tokens that went through the model; 0 where it is not known."""
        ...

    @property
    def validation_loss(self) -> float | None:
        """The last one; None without a validation split."""
        ...

    @property
    def ended(self) -> tuple[int, str] | None:
        """Step and reason, where a limit ended it early."""
        ...

    @property
    def kept_step(self) -> int | None:
        """Of the state that was kept, where it is not the last."""
        ...

    def mean_loss(self, *, after: int) -> float | None:
        """Mean training loss after a step; None where it is not known."""
        ...


def data_digest(files: Mapping[str, list[Path]]) -> str:
    """Hash of the files' bytes by role (train, validation, replay); their names and places do not matter."""
    parts: list[str] = []
    for role in sorted(files):
        parts += [role, *(file_digest(path) for path in files[role])]
    return digest(*parts)


def manifest(facts: Facts, journal: Course, *, folder: Path, peak_memory: int | None) -> dict[str, Any]:
    """The content of train.json.

    Args:
        facts: Known before.
        journal: How it went.
        folder: With the saved weights, for their size.
        peak_memory: Bytes on the GPU at most; None on the CPU.
    """
    return {
        "arm": json.loads(facts.arm.model_dump_json(by_alias=True, exclude_none=True)),
        "seed": facts.seed,
        "model": facts.model,
        "model_digest": facts.model_digest,
        "data_digest": facts.data_digest,
        "chat": facts.chat.model_dump(),
        "rows": dict(facts.rows),
        "max_length": facts.max_length,
        "stop_tokens": facts.stop_tokens,
        "steps": facts.steps if journal.ended is None else journal.ended[0],
        "ended": None if journal.ended is None else journal.ended[1],
        "kept_step": journal.kept_step,
        "steps_per_epoch": facts.steps_per_epoch,
        "train_loss": journal.mean_loss(after=facts.steps - facts.steps_per_epoch),
        "validation_loss": journal.validation_loss,
        "trained_tokens": journal.trained_tokens,
        "tokens": journal.tokens,
        "seconds": round(journal.seconds, 3),
        "tokens_per_second": _rate(journal.tokens, journal.seconds),
        "trained_tokens_per_second": _rate(journal.trained_tokens, journal.seconds),
        "trainable_parameters": facts.trainable_parameters,
        "total_parameters": facts.total_parameters,
        "bytes": sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        "full_copy_bytes": facts.base_bytes,
        "peak_memory": peak_memory,
        "device": facts.device,
        "precision": facts.precision,
        "versions": _versions(),
        "checks": [asdict(finding) for finding in facts.checks],
        "checkpoints": _kept(folder / CHECKPOINTS),
        "history": journal.history,
    }


def _kept(folder: Path) -> list[dict[str, Any]]:
    """The states kept on the way: their step, and their folder within the model's."""
    found = sorted(entry for entry in folder.glob("step-*") if entry.is_dir())
    return [{"step": int(entry.name.removeprefix("step-")), "folder": f"{CHECKPOINTS}/{entry.name}"} for entry in found]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("datakit", "torch", "transformers", "peft", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def card(facts: Facts, content: Mapping[str, Any]) -> str:
    """The model card README.md: what it was made from and how, without a path of this machine."""
    base = Path(facts.model).name if Path(facts.model).exists() else facts.model
    adapter = facts.arm.adapter
    library = {"full": "transformers", "loreft": "datakit", "direft": "datakit"}.get(adapter, "peft")
    front = ["---", f"library_name: {library}"]
    if base == facts.model:
        front.append(f"base_model: {json.dumps(base)}")
    front += ["tags: [datakit]", "---"]
    rows = facts.rows
    replay = f", {rows['replay']:,} to replay from" if rows["replay"] else ""
    lines = [
        *front,
        f"# {base}, fine-tuned ({adapter})",
        "",
        f"Made with datakit from `{base}` (weights {facts.model_digest[:12]}){_by(facts.arm)}.",
        "",
        f"- data: {rows['train']:,} training rows{replay}, digest {facts.data_digest[:12]}",
        f"- {facts.steps:,} steps of {facts.arm.batch_size * facts.arm.accumulate} rows, "
        f"learning rate {facts.arm.learning_rate:g} ({facts.arm.schedule}), seed {facts.seed}",
        f"- {facts.trainable_parameters:,} of {facts.total_parameters:,} parameters trained, "
        f"{_size(content['bytes'])} on disk (a full copy: {_size(content['full_copy_bytes'])})",
        *_losses(content["train_loss"], content["validation_loss"]),
        "",
        "Everything else is in `train.json`.",
    ]
    return "\n".join(lines) + "\n"


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1000:.1f} kB"


def _losses(train: float | None, validation: float | None) -> list[str]:
    known = {"training loss": train, "validation loss": validation}
    parts = [f"{name} {loss:.4f}" for name, loss in known.items() if loss is not None]
    return [f"- {', '.join(parts)} nats per trained token"] if parts else []


def _by(arm: Arm) -> str:
    name, _ = arm.chosen_backend
    return "" if name == "native" else f", trained by its backend `{name}`"


def _rate(tokens: int, seconds: float) -> float | None:
    return round(tokens / seconds, 1) if tokens else None
