"""What one training is: the arm with what its names stand for, the data, and where the result shall lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.checkpoint import stored_dtype
from train.adapters import adapter_named
from train.checkpoint import write_weights
from train.loading import computes_in_bfloat16, load_to_train, stream_of
from train.objectives import objective_of
from train.parallel import ALONE, Group

if TYPE_CHECKING:
    from train.adapters import Adapter
    from train.checks import Finding
    from train.config import Arm
    from train.data import Stream
    from train.manifest import Source
    from train.objectives import Objective
    from train.prepare import Prepared

__all__ = ["Plan", "plan_of"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one training is.

    Attributes:
        arm: A concrete arm.
        adapter: The arm's.
        objective: The arm's.
        ready: The encoded data.
        source: Names and hashes of what it is made from.
        output: Where the model folder shall stand.
        log: The events; it moves into the folder.
        bfloat16: Whether computing is done in bfloat16.
        group: The processes that train together.
    """

    arm: Arm
    adapter: Adapter
    objective: Objective
    ready: Prepared
    source: Source
    output: Path
    log: Path
    bfloat16: bool
    group: Group = ALONE

    @property
    def stored(self) -> Any:
        """The data type that full weights are saved in: the base's, so that both are compared alike."""
        import torch

        return getattr(torch, stored_dtype(self.ready.folder))

    def load(self, findings: list[Finding] | None = None) -> Any:
        """The model to train, on its device; what was seen of its vocabulary goes into ``findings``."""
        arm, ready, name = self.arm, self.ready, self.source.model
        return load_to_train(arm, self.adapter, self.objective, ready, name, findings, bfloat16=self.bfloat16)

    def whole(self, model: Any) -> Any | None:
        """The model in one piece: itself where one process trains, else a copy in the first, and None in the others."""
        if not self.group.together:
            return model
        trained = self.group.gather(model)
        if self.group.rank:
            return None
        copied = self.load()
        copied.load_state_dict(trained, strict=False)
        return copied

    def stream(self) -> Stream:
        """The rows of every step."""
        return stream_of(self.arm, self.objective, self.ready, self.source.seed)

    def write(self, model: Any, folder: Path) -> None:
        """Writes what was trained of a model, and the tokenizer, into an empty folder."""
        ready = self.ready
        write_weights(model, self.adapter, base=ready.folder, folder=folder, stops=ready.stop_tokens, dtype=self.stored)


def plan_of(arm: Arm, ready: Prepared, source: Source, *, output: Path, log: Path, group: Group = ALONE) -> Plan:
    """The plan, with the adapter and the objective that the arm names."""
    adapter, objective = adapter_named(arm.adapter), objective_of(arm)
    return Plan(arm, adapter, objective, ready, source, output, log, computes_in_bfloat16(arm), group)
