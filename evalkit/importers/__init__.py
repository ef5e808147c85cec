"""Results of other tools as evaluation logs, so that they are compared item by item like our own.

What a foreign log does not say is left empty and named in ``LogHeader.notes``; nothing is guessed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from datakit.core.registry import Registry
from evalkit.errors import LogError
from evalkit.log import EvalLog

__all__ = ["IMPORTERS", "Importer", "importer_of", "read_foreign"]


class Importer(Protocol):
    """Reads what one tool writes."""

    def recognises(self, path: Path) -> bool:
        """Whether a file or folder is of this tool; looks at names and beginnings only."""
        ...

    def read(self, path: Path) -> EvalLog:
        """The evaluation of one model.

        Raises:
            LogError: The file is damaged, of an unknown version, or of an evaluation that did not finish.
        """
        ...


IMPORTERS = Registry(
    "evalkit.importers",
    {
        "inspect": "evalkit.importers.inspect:Inspect",
        "lighteval": "evalkit.importers.lighteval:Lighteval",
        "lm-eval": "evalkit.importers.lm_eval:LmEval",
    },
)


def importer_of(path: Path) -> str | None:
    """Name of the importer that recognises a file or folder; None where none does."""
    if not path.exists():
        return None
    return next((name for name in IMPORTERS.names() if IMPORTERS.load(name)().recognises(path)), None)


def read_foreign(path: Path) -> EvalLog:
    """The log of another tool.

    Args:
        path: lm-eval's ``samples_*.jsonl`` or ``results_*.json``, inspect's ``.eval``, lighteval's
            ``details_*.parquet``, or a folder of such files of one model.

    Raises:
        LogError: No importer knows it, or it cannot be read.
    """
    name = importer_of(path)
    if name is None:
        raise LogError(
            "no evaluation log that is known", where=path, hint=f"Known tools: {', '.join(IMPORTERS.names())}"
        )
    log: EvalLog = IMPORTERS.load(name)().read(path)
    return log
