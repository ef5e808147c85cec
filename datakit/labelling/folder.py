"""What a labelled run keeps in ``private/labels``, for review and for the next build; readable by its owner only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from datakit.core.errors import UsageError
from datakit.core.storage import read_json, read_table, storage_errors, write_json, write_table
from datakit.labelling.corrections import Corrections
from datakit.labelling.job import Labelled
from datakit.labelling.labeller import Labeller

__all__ = ["FORMAT", "Kept", "LabelFolder"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """What was labelled.

    Attributes:
        items: Columns ``example_id``, ``origin``, ``text`` (as shown), ``plain`` (the row's own),
            ``given`` (its label before).
        results: Of ``RESULT_SCHEMA``.
        labeller: With its options.
        facts: Of the report.
        settings: ``seed``, ``min_confidence`` and what else the run was told.
    """

    items: pa.Table
    results: pa.Table
    labeller: Labeller
    facts: dict[str, Any]
    settings: dict[str, Any]


class LabelFolder:
    """``private/labels`` of a run.

    Args:
        private: The run's ``private`` folder.
    """

    def __init__(self, private: Path) -> None:
        self.root = private / "labels"

    @classmethod
    def of(cls, run: Path) -> LabelFolder:
        """The folder of a run that was labelled: its folder, or a name under ``runs/``.

        Raises:
            UsageError: It was not.
        """
        for candidate in (run, Path("runs") / run):
            found = cls(candidate / "private")
            if (found.root / "labels.json").is_file():
                return found
        raise UsageError(
            f"nothing was labelled in '{run}'",
            hint="Label first: datakit label FILE -o FOLDER, or a recipe's label step",
        )

    @property
    def review(self) -> Path:
        """The file of corrections."""
        return self.root / "review.sqlite"

    def corrections(self) -> Corrections:
        """What people said; made where it is missing."""
        return Corrections(self.review)

    def write(self, items: pa.Table, labelled: Labelled, labeller: Labeller, settings: Mapping[str, Any]) -> None:
        """Keeps everything; ``labels.json`` last."""
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_table(self.root / "items.parquet", items, private=True)
        write_table(self.root / "votes.parquet", labelled.votes, private=True)
        write_table(self.root / "labels.parquet", labelled.results, private=True)
        facts = {"labeller": labeller.model_dump(mode="json"), "settings": dict(settings), "facts": labelled.facts}
        write_json(self.root / "labels.json", facts, format=FORMAT, private=True)

    def read(self) -> Kept:
        """What was kept.

        Raises:
            StorageError: It is not whole.
        """
        facts = read_json(self.root / "labels.json", format=FORMAT)
        return Kept(
            read_table(self.root / "items.parquet"),
            read_table(self.root / "labels.parquet"),
            Labeller.model_validate(facts["labeller"]),
            facts["facts"],
            facts["settings"],
        )

    def votes(self) -> pa.Table:
        """The votes that were kept."""
        return read_table(self.root / "votes.parquet")
