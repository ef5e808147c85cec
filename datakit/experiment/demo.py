"""The demo: a small model learns one task in four ways, and the report says what each way forgot."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from datakit.core.errors import UsageError
from datakit.core.storage import storage_errors, write_text
from datakit.experiment.events import Listener, silent
from datakit.experiment.layout import Layout
from datakit.experiment.run import Run, run

if TYPE_CHECKING:
    from evalkit.report import ArmResult

__all__ = ["Lesson", "demo", "lesson", "prepare"]

FORGETTER = "full"
MIN_REGRESSED = 2
MAX_GAIN_LOST = 0.05  # five points


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one run of the demo shows about forgetting.

    Attributes:
        regressed: General tasks on which full fine-tuning regressed.
        keeper: The arm that kept most among those whose gain is within five points of full's; None without one.
        spared: keeper - full, mean over the general tasks, in [-1, 1].
        interval: Its 95 % interval.
        gain_lost: full's gain minus the keeper's.
        shown: Full fine-tuning regressed on two tasks or more, and the interval excludes 0.
    """

    regressed: tuple[str, ...]
    keeper: str | None
    spared: float
    interval: tuple[float, float]
    gain_lost: float
    shown: bool

    def sentence(self) -> str:
        """What the run shows, or that it does not."""
        lost = f"full fine-tuning regressed on {len(self.regressed)} general tasks"
        if self.keeper is None:
            return f"{lost}; no other arm comes within five points of its gain: this run does not show the lesson"
        low, high = (f"{100 * end:+.1f}" for end in self.interval)
        kept = f"{self.keeper} kept {100 * self.spared:.1f} points more of the general tasks [{low}, {high}]"
        price = f"at {100 * max(self.gain_lost, 0.0):.1f} points less gain"
        return f"{lost}; {kept} {price}" + ("" if self.shown else ": this run does not show the lesson")


def prepare(folder: Path, *, seed: int = 1) -> Path:
    """Writes the demo's recipe and the raw files of its task; returns the recipe's path.

    Raises:
        UsageError: There is a ``demo.yaml`` or an ``input`` of someone else's.
    """
    from datakit import pocket

    here = files("datakit.experiment")
    text = here.joinpath("demo.yaml").read_text(encoding="utf-8")
    recipe, raw = folder / "demo.yaml", folder / "input"
    _refuse_foreign(recipe, raw, text)
    write_text(recipe, text.replace("seeds: [1]", f"seeds: [{seed}]"))
    raw.mkdir(parents=True, exist_ok=True)
    pocket.write_task(raw, seed=seed)
    pocket.write_general(raw / "general.jsonl", seed=seed)
    pocket.write_multitask(raw / "multitask.jsonl", seed=seed)
    write_text(raw / "route.yaml", here.joinpath("demo_template.yaml").read_text(encoding="utf-8"))
    return recipe


def _refuse_foreign(recipe: Path, raw: Path, text: str) -> None:
    """A demo of any seed goes on; an edited recipe or other input is not written over."""
    if recipe.exists():
        with storage_errors(recipe):
            written = recipe.read_bytes().decode("utf-8", "replace")
        is_ours = re.sub(r"seeds: \[\d+\]", "seeds: [1]", written) == text
    else:
        is_ours = not raw.exists()
    if not is_ours:
        name = recipe.name if recipe.exists() else raw.name
        raise UsageError(
            f"there is a '{name}' that the demo did not write; it would be replaced",
            where=recipe.parent,
            hint="Give another folder with -o, or run an edited recipe with datakit run",
        )


def demo(folder: Path, *, seed: int = 1, listen: Listener = silent) -> Run:
    """Runs the demo's recipe under ``folder``: input/, demo.yaml, and the run itself with its reports."""
    return run(prepare(folder, seed=seed), output=folder, listen=listen)


def _gain(arm: ArmResult) -> float:
    return arm.comparison.gains[0].difference


def lesson(result: Run) -> Lesson:
    """Compares full fine-tuning with the other arms on the general tasks, item by item."""
    from evalkit.compare import compare

    arms = {arm.name: arm for arm in result.report.arms}
    full = arms.pop(FORGETTER)
    regressed = tuple(row.task for row in full.comparison.general if row.verdict == "regressed")
    near = [arm for arm in arms.values() if _gain(full) - _gain(arm) <= MAX_GAIN_LOST]
    best: tuple[float, str, tuple[float, float], float] | None = None
    layout = Layout(result.folder)
    for arm in near:
        logs = [layout.evaluation(f"{name}-{arm.seed}") / "pocket.json" for name in (FORGETTER, arm.name)]
        mean = compare(*logs).suite_mean
        if mean is not None and (best is None or mean.difference > best[0]):
            best = (mean.difference, arm.name, mean.interval, _gain(full) - _gain(arm))
    if best is None:
        return Lesson(regressed, None, 0.0, (0.0, 0.0), 0.0, shown=False)
    spared, keeper, interval, gain_lost = best
    shown = len(regressed) >= MIN_REGRESSED and interval[0] > 0
    return Lesson(regressed, keeper, spared, interval, gain_lost, shown)
