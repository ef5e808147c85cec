"""All that a training is between two steps: taken down, and put back so that it goes on bit for bit.

Weights that are trained, buffers, the optimizer's moments, the random states, the journal, and what callbacks
remember. The order of the rows is a function of the seed and the step alone, so the step's number is enough for it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.callbacks import Callback, Stateful

if TYPE_CHECKING:
    import torch

    from train.journal import Journal

__all__ = ["Parts", "Snapshot", "capture", "restore"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What has a state.

    Attributes:
        model: Its trained parameters and its buffers.
        optimizer: With the groups of those parameters.
        journal: What was written down.
        callbacks: Those that remember something (:class:`train.callbacks.Stateful`).
    """

    model: Any
    optimizer: torch.optim.Optimizer
    journal: Journal
    callbacks: Sequence[Callback] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state after a step.

    Attributes:
        step: Optimizer steps done.
        tensors: By name.
        record: Everything else, as JSON takes it.
    """

    step: int
    tensors: Mapping[str, torch.Tensor]
    record: Mapping[str, Any]


def capture(parts: Parts, step: int) -> Snapshot:
    """The state as it is now; tensors are the live ones, so it is written before the next step."""
    import numpy as np
    import torch

    tensors = {f"model.{name}": value.detach() for name, value in _changing(parts.model).items()}
    for index, values in parts.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in values.items()}
    tensors["random.torch"] = torch.get_rng_state()
    if parts.model.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(parts.model.device)
    _, words, *rest = np.random.get_state(legacy=True)
    tensors["random.numpy"] = torch.from_numpy(np.asarray(words).copy())
    version, numbers, gauss = random.getstate()
    record = {
        "journal": parts.journal.state(),
        "python": [version, list(numbers), gauss],
        "numpy": rest,
        "callbacks": {name: callback.state() for name, callback in _stateful(parts.callbacks).items()},
    }
    return Snapshot(step, tensors, record)


def restore(parts: Parts, snapshot: Snapshot) -> None:
    """Puts a state back into a training that was set up in the same way."""
    import numpy as np
    import torch

    tensors, record = snapshot.tensors, snapshot.record
    with torch.no_grad():
        for name, value in _changing(parts.model).items():
            value.copy_(tensors[f"model.{name}"])
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimizer":
            index, _, key = rest.partition(".")
            moments.setdefault(int(index), {})[key] = value
    groups = parts.optimizer.state_dict()["param_groups"]
    parts.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    torch.set_rng_state(tensors["random.torch"])
    if "random.cuda" in tensors and parts.model.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], parts.model.device)
    np.random.set_state(("MT19937", tensors["random.numpy"].numpy(), *record["numpy"]))
    version, numbers, gauss = record["python"]
    random.setstate((version, tuple(numbers), gauss))
    parts.journal.restore(record["journal"])
    for name, callback in _stateful(parts.callbacks).items():
        callback.restore(record["callbacks"][name])


def _changing(model: Any) -> dict[str, torch.Tensor]:
    """Trained parameters and the buffers that belong to the model's state; frozen weights come from the base again."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    found = {name: value for name, value in model.named_parameters() if value.requires_grad}
    buffers = {name: value for name, value in model.state_dict(keep_vars=True).items() if name not in parameters}
    return found | {name: value for name, value in buffers.items() if hasattr(value, "copy_")}


def _stateful(callbacks: Sequence[Callback]) -> dict[str, Stateful]:
    numbered = {f"{number}.{type(callback).__name__}": callback for number, callback in enumerate(callbacks)}
    return {name: callback for name, callback in numbered.items() if isinstance(callback, Stateful)}
