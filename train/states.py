"""The states of a running training on the disk: whole or not there, damage noticed, two kept, none of another taken."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from datakit.core.errors import StorageError
from datakit.core.hashing import file_digest, json_digest
from datakit.core.storage import atomic_directory, read_json, storage_errors, write_json
from train.checkpoint import system_errors
from train.errors import Diverged
from train.parallel import ALONE, Group
from train.snapshot import Snapshot

__all__ = ["KEPT", "States"]

KEPT = 2  # the newest, and the one before for the case that the newest is damaged
_FORMAT = 2
_NAME = re.compile(r"step-(\d{6,})")


class States:
    """The states beside an output.

    Args:
        output: Folder of the model to be; the states lie in ``.<name>.state`` beside it.
        key: Hash of all that determines the training; states with another are left alone until this training writes.
        every: Optimizer steps from one state to the next; None for none but when a signal ends the training.
        group: The processes that train together; the first one writes and reads, and all know what it found.

    Attributes:
        step: Of the newest whole state of this training; 0 where there is none.
        damaged: Names of newer states that are not whole.
    """

    def __init__(self, output: Path, key: str, *, every: int | None = None, group: Group = ALONE) -> None:
        self.folder = output.with_name(f".{output.name}.state")
        self._key, self._every, self._group = key, every, group
        self.damaged: list[str] = []
        self.step = 0
        if group.rank == 0:
            self._look()
        self.step, self.damaged = group.agree((self.step, self.damaged))

    def _look(self) -> None:
        for step in sorted(self._steps(), reverse=True):
            found = self._looks_whole(step)
            if found:
                self.step = step
                break
            if found is not None:
                self.damaged.append(_name(step))

    def due(self, step: int, steps: int) -> bool:
        """Whether the state after this step is saved: at the distance, and at the end, where a disk may be full."""
        return self._every is not None and (step % self._every == 0 or step == steps)

    def write(self, snapshot: Snapshot) -> None:
        """Saves a state, then removes all but it and the one before.

        Raises:
            DiskFull: The states that were there stay.
            Diverged: A weight is no number; such a state is not kept.
        """
        if self._group.rank == 0:
            self._write(snapshot)
        self.step = snapshot.step

    def _write(self, snapshot: Snapshot) -> None:
        from safetensors.torch import save_file

        _check_finite(snapshot)
        target = self.folder / _name(snapshot.step)
        with atomic_directory(target) as folder, storage_errors(target):
            file = folder / "state.safetensors"
            with system_errors():
                save_file({name: value.contiguous().cpu() for name, value in snapshot.tensors.items()}, file)
            content = {
                "key": self._key,
                "step": snapshot.step,
                "tensors": file_digest(file),
                "record": dict(snapshot.record),
            }
            write_json(folder / "state.json", {**content, "digest": json_digest(content)}, format=_FORMAT)
        before = [step for step in self._steps() if step < snapshot.step and _name(step) not in self.damaged]
        kept = {_name(step) for step in [*sorted(before)[-(KEPT - 1) :], snapshot.step]}
        for entry in self.folder.iterdir():
            if entry.name not in kept:
                shutil.rmtree(entry, ignore_errors=True)

    def read(self) -> Snapshot | None:
        """The newest whole state of this training; its tensors are in the first process alone."""
        from safetensors.torch import load_file

        if not self.step:
            return None
        if self._group.rank:
            return Snapshot(self.step, {}, self._group.agree(None))
        folder = self.folder / _name(self.step)
        record = self._group.agree(self._content(folder)["record"])
        return Snapshot(self.step, load_file(folder / "state.safetensors"), record)

    def remove(self) -> None:
        """All of them: the model is saved."""
        if self._group.rank == 0:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _steps(self) -> list[int]:
        entries = self.folder.iterdir() if self.folder.is_dir() else ()
        return [int(found.group(1)) for entry in entries if (found := _NAME.fullmatch(entry.name))]

    def _looks_whole(self, step: int) -> bool | None:
        """None where it belongs to another training."""
        folder = self.folder / _name(step)
        try:
            content = self._content(folder)
            if content.get("key") != self._key:
                return None
            return bool(content.pop("digest", None) == json_digest(content) and content["step"] == step)
        except (StorageError, OSError):
            return False

    def _content(self, folder: Path) -> dict[str, Any]:
        content = read_json(folder / "state.json", format=_FORMAT)
        if content.pop("format") != _FORMAT:
            raise StorageError("saved by an earlier version", where=folder)
        if content.get("key") == self._key and content.get("tensors") != file_digest(folder / "state.safetensors"):
            raise StorageError("the tensors are damaged", where=folder)
        return content


def _name(step: int) -> str:
    return f"step-{step:06}"


def _check_finite(snapshot: Snapshot) -> None:
    import torch

    for name, value in snapshot.tensors.items():
        if value.is_floating_point() and name.startswith("model.") and not bool(torch.isfinite(value).all()):
            raise Diverged(
                f"a weight became NaN or infinite by step {snapshot.step} ({name.removeprefix('model.')})",
                hint="Lower learning_rate, lengthen warmup or clip the gradient; no state with it was saved",
            )
