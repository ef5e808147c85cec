"""Memory that this process uses."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["memory_used"]


def memory_used(device: torch.device) -> int:
    """Bytes: on a GPU the most that was allocated, else what the process holds in memory now (its peak on macOS)."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    table = Path("/proc/self/statm")
    if table.is_file():
        return int(table.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
