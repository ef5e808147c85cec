"""What a reader of a comparison must know besides its figures: prompts that were cut, facts that no log holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from evalkit.judge import UNJUDGED
from evalkit.noise import recorded_noise

if TYPE_CHECKING:
    from evalkit.comparison import Comparison
    from evalkit.contamination import Clean
    from evalkit.guard import Pairing
    from evalkit.log import EvalLog

__all__ = ["clean_note", "comparison_notes", "cut_notes", "cut_prompts", "notes_of_arms"]


def cut_prompts(log: EvalLog) -> dict[str, int]:
    """Task to the number of its requests that lost tokens because the model's window is shorter."""
    counts = {name: facts.get("cut_contexts") for name, facts in _facts(log).items()}
    return {name: int(count) for name, count in counts.items() if count}


def _facts(log: EvalLog) -> dict[str, Mapping[str, Any]]:
    """What was recorded of each task."""
    tasks = log.header.recorded.get("tasks")
    found: dict[str, Any] = dict(tasks) if isinstance(tasks, Mapping) else {}
    return {name: facts for name, facts in found.items() if isinstance(facts, Mapping)}


def comparison_notes(pairing: Pairing, before: EvalLog, after: EvalLog) -> tuple[str, ...]:
    """Sentences, each once: what was not verified, what was cut, what the logs of other tools do not say."""
    said = [
        *_unverified(pairing),
        *_floor(pairing),
        *_judged(before),
        *_judged(after),
        *cut_notes(before),
        *cut_notes(after),
        *_noise(before),
    ]
    return tuple(dict.fromkeys([*said, *before.header.notes, *after.header.notes]))


def clean_note(clean: Clean) -> str:
    """One sentence on a task some of whose items stand in the training data."""
    items = "item stands" if clean.items == 1 else "items stand"
    start = f"Task '{clean.task}': {clean.items:,} {items} in the training data"
    if clean.row is None:
        return f"{start}; no other is left."
    low, high = clean.row.interval
    ends = f"[{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{start}; without them {100 * clean.row.difference:+.1f} {ends} points, {clean.row.paired.verdict}."


def notes_of_arms(arms: Mapping[str, Comparison], *, clean: bool = True) -> list[str]:
    """Notes of several comparisons, each once; what was seen in training is said with the arm it is about.

    Args:
        arms: Label to comparison.
        clean: Say it; False where a table does.
    """
    said: list[str] = []
    for label, comparison in arms.items():
        seen = [clean_note(one) for one in comparison.clean]
        said += [note for note in comparison.notes if note not in seen]
        if clean:
            said += [f"{label}: {note}" for note in seen] if len(arms) > 1 else seen
    return list(dict.fromkeys(said))


def _unverified(pairing: Pairing) -> Iterator[str]:
    for task, what in pairing.unverified.items():
        yield f"Task '{task}': whether the {' and '.join(what)} were the same is not known: a log does not hold them."


def _floor(pairing: Pairing) -> Iterator[str]:
    """Where the model before knows nothing, nothing can be forgotten, and `held` says nothing."""
    import numpy as np

    for pair in pairing.pairs:
        if pair.info.kind != "general" or not pair.info.higher_is_better:
            continue
        score = float(np.mean(pair.before.column("score").to_numpy(zero_copy_only=False)))
        if score <= pair.info.chance:
            yield (
                f"Task '{pair.task}': the model before scores {100 * score:.1f}, no better than guessing; what it does "
                "not know cannot be forgotten."
            )


def _judged(log: EvalLog) -> Iterator[str]:
    for task, facts in _facts(log).items():
        if "judged" not in facts:
            continue
        yield f"Task '{task}': written answers are scored by a model, the judge '{_judge(log, task)}'."
        if count := facts.get(UNJUDGED):
            yield (
                f"Task '{task}': of the judge's verdicts on {facts['judged']:,} answers of '{log.header.model}' "
                f"{count:,} could not be read; such an answer counts as wrong."
            )


def _judge(log: EvalLog, task: str) -> str:
    """The judge's model; the settings of a log that was combined from several have a level more."""
    parts = [log.header.settings, *(part for part in log.header.settings.values() if isinstance(part, Mapping))]
    for part in parts:
        settings = (part.get("tasks") or {}).get(task) or {}
        if "judge" in settings:
            return str(settings["judge"]["model"])
    return ""


def _noise(log: EvalLog) -> Iterator[str]:
    noise = recorded_noise(log)
    if noise is not None and noise.flipped:
        yield (
            f"Noise floor: the model before answers {noise.flipped} of {noise.items} items otherwise in batches of "
            "another size; as many flips mean nothing."
        )


def cut_notes(log: EvalLog) -> Iterator[str]:
    """A sentence for each task some of whose requests were cut."""
    facts = _facts(log)
    for task, count in cut_prompts(log).items():
        of = f" of {facts[task]['requests']:,}" if "requests" in facts[task] else ""
        yield (
            f"Task '{task}': {count:,}{of} requests (a prompt, with an option where there are some) were cut at the "
            f"beginning for '{log.header.model}', because its window is shorter; examples or instructions may be "
            "missing."
        )
