"""Trains nothing: every trainable weight moves by a little, so that all that follows a training can be tried fast."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, Field

from train.backends import BackendSettings, Job, Outcome

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["Mock", "MockSettings"]


class MockSettings(BackendSettings):
    """Settings of ``mock``.

    Attributes:
        size: Standard deviation of what is added to every weight, as a share of the tensor's own; where a tensor is
            zero, of 1.
    """

    size: float = Field(default=0.01, gt=0)


class Mock:
    """Adds seeded noise to what would be trained."""

    Params: ClassVar[type[BaseModel]] = MockSettings
    follows: ClassVar[frozenset[str] | None] = None
    loads: ClassVar[bool] = True

    def check(self, arm: Arm, settings: Any) -> str | None:
        """Any arm will do."""
        return None

    def train(self, job: Job, folder: Path) -> Outcome:
        """One pass over the weights, none over the rows."""
        import torch

        started = time.perf_counter()
        model = job.load()
        random = torch.Generator().manual_seed(job.seed)
        with torch.no_grad():
            for value in model.parameters():
                if value.requires_grad:
                    spread = float(value.std()) if value.numel() > 1 else 0.0
                    noise = torch.randn(value.shape, generator=random).to(value.device)
                    value += job.settings.size * (spread or 1.0) * noise
        job.write(model, folder)
        return Outcome(max(time.perf_counter() - started, 1e-6))
