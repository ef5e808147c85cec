"""Evaluation of a tuned model beside its base: logs, paired statistics, gate and report.

``paired``, ``compare`` and ``gate`` are functions that share a name with their module, so they are imported here at
once (they need nothing heavy); everything else is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from evalkit.compare import combine_logs, compare
from evalkit.comparison import Comparison
from evalkit.gate import Gate, gate
from evalkit.paired import Paired, paired

if TYPE_CHECKING:
    from evalkit import forgetting, report, statistics
    from evalkit.log import EvalLog, LogHeader, TaskInfo

__all__ = [
    "Comparison",
    "EvalLog",
    "Gate",
    "LogHeader",
    "Paired",
    "Session",
    "TaskInfo",
    "combine_logs",
    "compare",
    "data_task",
    "export_items",
    "forgetting",
    "gate",
    "load_suite",
    "paired",
    "report",
    "statistics",
]

_LAZY = {
    "EvalLog": "evalkit.log",
    "LogHeader": "evalkit.log",
    "TaskInfo": "evalkit.log",
    "Session": "evalkit.evaluate",
    "data_task": "evalkit.owntask",
    "export_items": "evalkit.items",
    "load_suite": "evalkit.suite",
}
_MODULES = ("forgetting", "report", "statistics")


def __getattr__(name: str) -> Any:
    """Imports a public name on first use."""
    if name in _MODULES:
        return importlib.import_module(f"evalkit.{name}")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'evalkit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
