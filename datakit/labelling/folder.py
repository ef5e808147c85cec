"""What a labelled run keeps in ``private/labels/LABELLER``, for review and for the next build; its owner's alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from datakit.core.errors import UsageError
from datakit.core.hashing import digest
from datakit.core.registry import suggest
from datakit.core.storage import read_json, read_table, storage_errors, write_json, write_table
from datakit.labelling.corrections import Corrections
from datakit.labelling.job import Labelled
from datakit.labelling.labeller import Labeller

__all__ = ["FORMAT", "Kept", "LabelFolder", "folder_name"]

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


def folder_name(labeller: str) -> str:
    """A labeller's name as the name of a folder or file."""
    safe = re.sub(r"[^\w-]+", "-", labeller)[:60].strip("-")
    return safe if safe == labeller else f"{safe or 'labels'}-{digest(labeller)[:6]}"


class LabelFolder:
    """What one labeller's step keeps in a run.

    Args:
        private: The run's ``private`` folder.
        labeller: Its name.
    """

    def __init__(self, private: Path, labeller: str) -> None:
        self.root = private / "labels" / folder_name(labeller)

    @classmethod
    def of(cls, run: Path, labeller: str | None = None) -> LabelFolder:
        """The folder of a run that was labelled: its folder, or a name under ``runs/``.

        Args:
            run: The run.
            labeller: Whose labels; only a run with several needs it.

        Raises:
            UsageError: It was not labelled, or by several and none is named.
        """
        for candidate in (run, Path("runs") / run):
            found = [path.parent for path in sorted((candidate / "private" / "labels").glob("*/labels.json"))]
            if found:
                return cls(candidate / "private", _chosen(found, labeller, run))
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


def _chosen(folders: Sequence[Path], labeller: str | None, run: Path) -> str:
    names = [str(read_json(path / "labels.json", format=FORMAT)["labeller"]["name"]) for path in folders]
    if labeller in names:
        return str(labeller)
    if labeller is not None:
        raise UsageError(f"'{run}' has no labels of a labeller '{labeller}'", hint=suggest(labeller, names))
    if len(names) > 1:
        raise UsageError(f"'{run}' has labels of {', '.join(names)}", hint=f"Say whose: --labeller {names[0]}")
    return names[0]
