"""The demo: a small model learns one task in four ways, and the report says what each way forgot."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from datakit.core.storage import write_text
from datakit.experiment.events import Listener, silent
from datakit.experiment.run import Run, run

__all__ = ["demo", "prepare"]


def prepare(folder: Path, *, seed: int = 1) -> Path:
    """Writes the raw files of the demo's task and its recipe; returns the recipe's path.

    The task is always the same world's, drawn with ``seed``; so are the texts for replay and for the multitask arm.
    """
    from datakit import pocket

    raw = folder / "input"
    raw.mkdir(parents=True, exist_ok=True)
    pocket.write_task(raw, seed=seed)
    pocket.write_general(raw / "general.jsonl", seed=seed)
    pocket.write_multitask(raw / "multitask.jsonl", seed=seed)
    recipe = folder / "demo.yaml"
    text = files("datakit.experiment").joinpath("demo.yaml").read_text(encoding="utf-8")
    write_text(recipe, text.replace("seeds: [1]", f"seeds: [{seed}]"))
    return recipe


def demo(folder: Path, *, seed: int = 1, listen: Listener = silent) -> Run:
    """Runs the demo's recipe under ``folder``: input/, demo.yaml, and the run itself with its reports."""
    return run(prepare(folder, seed=seed), output=folder, listen=listen)
