"""All that a training is between two steps: taken down, and put back so that it goes on bit for bit.

Weights that are trained, buffers, the optimizer's moments, the random states, the journal, and what callbacks
remember. The order of the rows is a function of the seed and the step alone, so the step's number is enough for it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from train.callbacks import Stateful
from train.parallel import ALONE, Group

if TYPE_CHECKING:
    import torch

__all__ = ["Parts", "Remembering", "Snapshot", "capture", "restore"]


class Remembering(Protocol):
    """What was written down: a journal whose clock stands still while a state is saved."""

    def state(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what :meth:`state` gave."""
        ...

    def pause(self) -> None:
        """Stops the clock."""
        ...

    def resume(self) -> None:
        """Starts it."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What has a state.

    Attributes:
        model: Its trained parameters and its buffers; of several models a module that holds them.
        optimizer: With the groups of those parameters.
        journal: What was written down.
        callbacks: Among them those that remember something (:class:`train.callbacks.Stateful`).
        group: The processes that train together.
    """

    model: Any
    optimizer: torch.optim.Optimizer
    journal: Remembering
    callbacks: Sequence[object] = ()
    group: Group = ALONE


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state after a step.

    Attributes:
        step: Optimizer steps done.
        tensors: By name, whole; of several processes the first has them.
        record: Everything else, as JSON takes it.
    """

    step: int
    tensors: Mapping[str, torch.Tensor]
    record: Mapping[str, Any]


def capture(parts: Parts, step: int) -> Snapshot:
    """The state as it is now; tensors are the live ones, so it is written before the next step."""
    group = parts.group
    group.settle(parts.model)
    tensors: dict[str, torch.Tensor] = {}
    for name, value in _live(parts):
        full = group.whole(value)
        if group.rank == 0:
            tensors[name] = full.cpu() if group.together else full
    for rank, own in enumerate(group.every(_drawing(parts.model))):
        suffix = f".{rank}" if rank else ""
        tensors |= {f"{name}{suffix}": value for name, value in own.items()}
    record = {
        "journal": parts.journal.state(),
        **_drawing_beside(),
        "callbacks": {name: callback.state() for name, callback in _stateful(parts.callbacks).items()},
    }
    return Snapshot(step, tensors, record)


def restore(parts: Parts, snapshot: Snapshot) -> None:
    """Puts a state back into a training that was set up in the same way, by as many processes or not."""
    import torch

    tensors, record, group = snapshot.tensors, snapshot.record, parts.group
    with torch.no_grad():
        for name, value in _changing(parts.model).items():
            group.put(value, tensors.get(f"model.{name}"))
        _restore_moments(parts, tensors)
    drawn = {name: value for name, value in tensors.items() if name.startswith("random.")}
    _draw_on(parts, group.agree(drawn), record)
    parts.journal.restore(record["journal"])
    for name, callback in _stateful(parts.callbacks).items():
        if name in record["callbacks"]:  # what looks at whole weights is not there where several processes train
            callback.restore(record["callbacks"][name])


def _live(parts: Parts) -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    for name, value in _changing(parts.model).items():
        yield f"model.{name}", value.detach()
    for index, values in parts.optimizer.state_dict()["state"].items():
        for key, value in values.items():
            yield f"optimizer.{index}.{key}", torch.as_tensor(value)


def _restore_moments(parts: Parts, tensors: Mapping[str, torch.Tensor]) -> None:
    """Where parameters are sharded their moments are too; what else the optimizer keeps is whole in every process."""
    import torch

    group = parts.group
    names = group.agree([name for name in tensors if name.startswith("optimizer.")])
    parameters = [value for own in parts.optimizer.param_groups for value in own["params"]]
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name in names:
        index, _, key = name.removeprefix("optimizer.").partition(".")
        held, like = tensors.get(name), parameters[int(index)]
        if group.agree(held is not None and held.shape == like.shape and held.ndim > 0):
            value = torch.zeros_like(like)
            group.put(value, held)
        else:
            value = group.agree(held)
        moments.setdefault(int(index), {})[key] = value
    groups = parts.optimizer.state_dict()["param_groups"]
    parts.optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _drawing(model: Any) -> dict[str, torch.Tensor]:
    """States of random numbers that each process has of its own."""
    import torch

    found = {"random.torch": torch.get_rng_state()}
    if (device := _device(model)).type == "cuda":
        found["random.cuda"] = torch.cuda.get_rng_state(device)
    return found


def _drawing_beside() -> dict[str, Any]:
    """States of random numbers that all processes have alike, as JSON takes them."""
    import numpy as np

    _, words, *rest = np.random.get_state(legacy=True)
    version, numbers, gauss = random.getstate()
    return {"python": [version, list(numbers), gauss], "numpy": [np.asarray(words).tolist(), *rest]}


def _draw_on(parts: Parts, drawn: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> None:
    """Random numbers go on; of a process that was not there before they are those it was set up with."""
    import numpy as np
    import torch

    suffix = f".{parts.group.rank}" if parts.group.rank else ""
    if (own := drawn.get(f"random.torch{suffix}")) is not None:
        torch.set_rng_state(own)
    device = _device(parts.model)
    if (own := drawn.get(f"random.cuda{suffix}")) is not None and device.type == "cuda":
        torch.cuda.set_rng_state(own, device)
    words, *rest = record["numpy"]
    np.random.set_state(("MT19937", np.asarray(words, dtype=np.uint32), *rest))
    version, numbers, gauss = record["python"]
    random.setstate((version, tuple(numbers), gauss))


def _device(model: Any) -> torch.device:
    found: torch.device = next(model.parameters()).device
    return found


def _changing(model: Any) -> dict[str, torch.Tensor]:
    """Trained parameters and the buffers that belong to the model's state; frozen weights come from the base again."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    found = {name: value for name, value in model.named_parameters() if value.requires_grad}
    buffers = {name: value for name, value in model.state_dict(keep_vars=True).items() if name not in parameters}
    return found | {name: value for name, value in buffers.items() if hasattr(value, "copy_")}


def _stateful(callbacks: Sequence[object]) -> dict[str, Stateful]:
    """By the name of their class, numbered where it comes again."""
    found: dict[str, Stateful] = {}
    for callback in callbacks:
        if isinstance(callback, Stateful):
            name = type(callback).__name__
            again = sum(key.partition(" ")[0] == name for key in found)
            found[f"{name} {again + 1}" if again else name] = callback
    return found
