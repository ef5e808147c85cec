"""A folder that stands in for the Hugging Face hub: models at ``org/name``, datasets at ``datasets/org/name``.

``datakit fetch`` writes such a folder where there is a network; a recipe's ``hub`` names it where there is none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datakit.core.require import require

__all__ = ["DATASETS", "TEMPLATES", "dataset_folder", "local_first"]

DATASETS = "datasets"
TEMPLATES = "promptsource"


def dataset_folder(hub: Path | None, name: str) -> Path | None:
    """Where a folder has the dataset ``org/name``; None where it has not, or the name leads out of the folder."""
    if hub is None or not name or ".." in Path(name).parts or Path(name).is_absolute():
        return None
    folder = hub / DATASETS / name
    return folder if folder.is_dir() else None


@contextlib.contextmanager
def local_first(hub: Path | None) -> Iterator[None]:
    """While this is open, ``datasets.load_dataset`` takes a dataset from the folder where the folder has it.

    Libraries that load by name, lm-eval's tasks among them, need not know of the folder.
    """
    if hub is None:
        yield
        return
    datasets = require("datasets", extra="eval")
    own = datasets.load_dataset

    def load_dataset(path: str, *args: Any, **options: Any) -> Any:
        found = dataset_folder(hub, str(path))
        if found is not None:
            options.pop("revision", None)  # the folder holds the one that was fetched
            path = str(found)
        return own(path, *args, **options)

    datasets.load_dataset = load_dataset
    try:
        yield
    finally:
        datasets.load_dataset = own
