"""Where things stand in a run's folder, and which folder is a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datakit.core.errors import DatakitError
from datakit.core.storage import read_json

__all__ = ["FORMAT", "Layout", "evaluated", "open_run"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one run; see the files part of docs/run-folder.md."""

    root: Path

    @property
    def manifest(self) -> Path:
        """Facts about the run: versions, digests, seeds, the model as named."""
        return self.root / "manifest.json"

    @property
    def recipe(self) -> Path:
        """The recipe as it was run, byte for byte."""
        return self.root / "recipe.yaml"

    @property
    def data(self) -> Path:
        """The built dataset."""
        return self.root / "data"

    def model(self, cell: str) -> Path:
        """Weights or adapter of a cell, ``arm-seed``."""
        return self.root / "models" / cell

    def evaluation(self, cell: str) -> Path:
        """Logs of a cell, or of ``base``."""
        return self.root / "evals" / cell

    def curve(self, cell: str) -> Path:
        """Logs of a cell's checkpoints, a folder per step."""
        return self.root / "curves" / cell

    def interpolation(self, cell: str) -> Path:
        """Logs of the models between the base and a cell, a folder per per cent."""
        return self.root / "interpolated" / cell

    def stage(self, number: int, name: str) -> Layout:
        """The part of the run that one stage trains, laid out like a run; counted from 1."""
        return Layout(self.root / "stages" / f"{number:02}-{name}")

    def split(self, name: str) -> list[Path]:
        """Parquet files of a split, in order; empty where there is none."""
        return sorted(self.data.glob(f"{name}-*.parquet"))


def open_run(path: Path) -> Layout:
    """The layout of an existing run: its folder, or a name under ``runs/``.

    Raises:
        DatakitError: There is no run.
        NewerFormat: Written by a newer version.
    """
    for candidate in (path, Path("runs") / path):
        if (candidate / "manifest.json").is_file():
            read_json(candidate / "manifest.json", format=FORMAT)
            return Layout(candidate)
    known = sorted(entry.parent.name for entry in Path("runs").glob("*/manifest.json"))
    raise DatakitError(
        f"no run at '{path}'",
        hint=f"Runs here: {', '.join(known)}" if known else "Start one with: datakit run RECIPE.yaml",
    )


def evaluated(path: Path) -> Path:
    """The folder with a run's evaluations: a run, a name under ``runs/``, or what ``datakit compare`` wrote.

    Raises:
        DatakitError: There is none.
    """
    return path if (path / "evals").is_dir() else open_run(path).root
