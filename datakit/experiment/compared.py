"""The folder of one comparison: both models' logs, the report, and what ``gate`` and ``report`` read again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.errors import StorageError, UsageError
from datakit.core.storage import read_json, storage_errors, write_json
from datakit.experiment.tuned import decided_by_suite, seen_in_training

if TYPE_CHECKING:
    from evalkit.log import EvalLog
    from evalkit.report import Report

__all__ = ["check_folder", "write_comparison"]

_PAIRING = "pairing"


def check_folder(output: Path) -> None:
    """Refuses to write a comparison over something else.

    Raises:
        UsageError: The folder is a run, or a file.
    """
    if output.exists() and not output.is_dir():
        raise UsageError("the output is a file", where=output, hint="Give a folder with -o")
    path = output / "manifest.json"
    try:
        is_ours = not path.is_file() or _PAIRING in read_json(path)
    except StorageError:
        is_ours = False
    if not is_ours:
        raise UsageError(
            "this folder is a run; its evaluations and its report would be replaced",
            where=output,
            hint="Give another folder with -o",
        )


def write_comparison(
    before: Sequence[EvalLog],
    after: Sequence[EvalLog],
    *,
    base: str,
    tuned: str,
    output: Path,
    pairing: Mapping[str, Any],
    seed: int,
    reproduce: str,
) -> tuple[Report, dict[str, Path]]:
    """Compares two models' logs and writes the folder; an earlier comparison in it is replaced.

    Args:
        before: Logs of the model before, one per suite.
        after: Logs of the model after.
        base: As it was named.
        tuned: As it was named; where it lies in a run, items that the run trained on are left out beside the figures.
        output: The folder.
        pairing: ``join`` and ``prompts`` of :func:`evalkit.compare`.
        seed: Of permutations and bootstraps.
        reproduce: The line that makes it again.

    Returns:
        The report, and its files by ending.
    """
    from evalkit.contamination import keep_items
    from evalkit.report import from_logs, write_report
    from evalkit.report.chosen import without_asked

    name = re.sub(r"[^\w.+-]+", "-", Path(tuned).with_suffix("").name).strip("-.") or "tuned"
    name = f"{name}-tuned" if name == "base" else name
    title = f"{name} against {Path(base).name or base}"
    here = Path(tuned) if Path(tuned).exists() else None
    seen = seen_in_training(here) if here is not None else None
    asked_there = [name] if here is not None and decided_by_suite(here) else []
    before, after = without_asked(before, asked_there), without_asked(after, asked_there)
    asked = dict(pairing) if seen is None else {**pairing, "contaminated": seen}
    report = from_logs(before, {(name, None): after}, title=title, seed=seed, pairing=asked, reproduce=[reproduce])
    check_folder(output)
    if (output / "evals").is_dir():
        with storage_errors(output / "evals"):
            shutil.rmtree(output / "evals")  # or the gate would look at models that are not compared here
    keep_items(output, seen)
    for folder, own in (("base", before), (name, after)):
        for log in own:
            log.write(output / "evals" / folder)
    facts = {"name": title, "arms": [name], "reproduce": [reproduce], _PAIRING: dict(pairing)}
    write_json(output / "manifest.json", facts)
    return report, write_report(report, output)
