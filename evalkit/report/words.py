"""Numbers and sentences as they stand in every form of the report: points, intervals, verdicts, the headline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.notes import notes_of_arms
from evalkit.report.model import Report, main_gain

if TYPE_CHECKING:
    from evalkit.comparison import Row
    from evalkit.report.model import ArmResult

__all__ = [
    "explanation",
    "format_loss",
    "headline",
    "interval",
    "lead",
    "points",
    "rest",
    "score",
    "several",
    "shorten",
    "signed",
    "unsteered",
    "verdict",
    "warnings",
]

_STEERING = dict.fromkeys((*range(0x09), *range(0x0E, 0x1C), *range(0x7F, 0x85), *range(0x86, 0xA0)), None)
_STEERING |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), None)

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def score(value: float) -> str:
    """A score in [0, 1] as points: 72.9."""
    return f"{100 * value:.1f}"


def points(value: float) -> str:
    """The size of a difference in points: 1.3."""
    return f"{100 * abs(value):.1f}"


def signed(value: float) -> str:
    """A difference in points with its sign: -0.7, +2.0, 0.0."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def interval(ends: tuple[float, float]) -> str:
    """An interval in points: [-2.2, +0.8]."""
    return f"[{signed(ends[0])}, {signed(ends[1])}]"


def several(count: int) -> str:
    """Small numbers as words."""
    return NUMBERS[count] if count < len(NUMBERS) else f"{count:,}"


def shorten(text: str | None, length: int) -> str:
    """One line of at most ``length`` characters; the middle is left out, since a prompt ends with its question.

    Lone surrogates become question marks: what is printed and written is valid UTF-8. Characters that steer a terminal
    or turn the direction of writing leave; they would change what stands around them.
    """
    line = " ".join(unsteered((text or "").encode("utf-8", "replace").decode()).split())
    if len(line) <= length:
        return line
    head = (length - 1) // 3
    return f"{line[:head].rstrip()}…{line[len(line) - (length - 1 - head) :].lstrip()}"


def unsteered(text: str) -> str:
    """A text without characters that steer a terminal or turn the direction of writing."""
    return text.translate(_STEERING)


def format_loss(row: Row) -> str | None:
    """``38 of 52 lost answers are a bare label of the new task``, where that explains a third or more."""
    count = row.statuses.get("format", 0)
    lost = sum(row.statuses.values())
    if not count or 3 * count < lost:
        return None
    return f"{count:,} of {lost:,} lost answers are a bare label of the new task"


def explanation(row: Row) -> str:
    """One sentence on what a row's verdict says and what would settle it."""
    ruled_out, tolerable = points(row.paired.ruled_out), points(row.margin)
    if row.verdict == "gained":
        return f"Gained at least {points(row.interval[0])} points."
    if row.verdict == "held":
        return f"A loss above {ruled_out} points is ruled out (tolerable: {tolerable})."
    if row.verdict == "regressed":
        sure = "certainly" if row.beyond_margin == "certain" else "possibly"
        return f"Lost at least {points(row.interval[1])} points, {sure} more than the tolerable {tolerable}."
    needed = f"; about {row.paired.items_needed:,} items would settle it" if row.paired.items_needed else ""
    if row.interval[1] < 0:
        return f"A loss in this row alone, not after correcting for the number of tasks{needed}."
    return f"Only a loss above {ruled_out} points is ruled out (tolerable: {tolerable}){needed}."


def lead(report: Report) -> str:
    """The verdict on the arm shown first, in one sentence for a title."""
    ranked = report.ranked()
    if not ranked:
        return "No arm was evaluated."
    name, status = ranked[0].name, report.status(ranked[0].name)
    own = report.seeds(name)
    gains = [row for arm in own if (row := main_gain(arm.comparison)) is not None]
    start = f"{name} {_gained(gains)}" if gains else name
    join = ";" if gains else ":"
    if len(own) > 1:
        return f"{start}{join} {_seeds(report, name)}."
    if status == "pass":
        return f"{start}{join} nothing regressed."
    if status == "unsure":
        return f"{start}{join} there are not enough items to say what it forgot."
    return f"{start}{', but' if gains else ''} regressed on {_where(own[0])}."


def _gained(rows: Sequence[Row]) -> str:
    """What happened on the task: a mean over seeds; for one checkpoint only what its interval allows to say."""
    mean = sum(row.difference for row in rows) / len(rows)
    if len(rows) == 1 and rows[0].interval[0] <= 0 <= rows[0].interval[1]:
        return f"made no certain difference on the task ({signed(mean)} points)"
    return f"{'gained' if mean >= 0 else 'lost'} {points(mean)} points on the task"


def _where(arm: ArmResult) -> str:
    lost = sum(row.verdict == "regressed" for row in arm.comparison.general)
    return f"{lost} of {len(arm.comparison.general)} tasks" if lost else "the mean of the suite"


def _seeds(report: Report, name: str) -> str:
    """What the seeds of an arm say together."""
    own, status = report.seeds(name), report.status(name)
    if status == "pass":
        return f"nothing regressed with any of {several(len(own))} seeds"
    count = sum(arm.gate.status == status for arm in own)
    said = "something regressed" if status == "regressed" else "not enough items to say"
    return f"{said} with {several(count)} of {several(len(own))} seeds"


def rest(report: Report) -> str:
    """One clause per status on the arms that are not shown first; empty for a single arm."""
    names = list(dict.fromkeys(arm.name for arm in report.ranked()))
    by_status: dict[str, list[str]] = {}
    for name in names[1:]:
        by_status.setdefault(report.status(name), []).append(_other(report, name))
    words = {"pass": "Also passes", "unsure": "Undecided", "regressed": "Regressed"}
    return " ".join(f"{words[status]}: {', '.join(found)}." for status, found in by_status.items())


def _other(report: Report, name: str) -> str:
    own, status = report.seeds(name), report.status(name)
    if len(own) > 1 and status != "pass":
        return f"{name} ({sum(arm.gate.status == status for arm in own)} of {len(own)} seeds)"
    return f"{name} ({_where(own[0])})" if status == "regressed" else name


def verdict(report: Report) -> str:
    """What the gate says of the arm shown first."""
    ranked = report.ranked()
    if not ranked:
        return lead(report)
    name = ranked[0].name
    if len(report.seeds(name)) == 1:
        return ranked[0].gate.sentence
    sentence = _seeds(report, name)
    return f"{sentence[0].upper()}{sentence[1:]}."


def headline(report: Report) -> tuple[str, str]:
    """Status of the arm shown first, and the verdict on all arms in a sentence or two."""
    ranked = report.ranked()
    if not ranked:
        return "unsure", lead(report)
    name, gain = ranked[0].name, main_gain(ranked[0].comparison)
    learnt = "" if gain is None or gain.interval[0] > 0 else " No certain gain on the task."
    return report.status(name), f"{name}: {_lower(verdict(report))}{learnt} {rest(report)}".rstrip()


def _lower(sentence: str) -> str:
    first = sentence.split(" ", 1)[0]
    return sentence[0].lower() + sentence[1:] if first in ("Nothing", "Not", "No", "Something") else sentence


def warnings(report: Report, *, clean: bool = True) -> list[str]:
    """What a reader must know besides the figures, a sentence each.

    Args:
        report: The report.
        clean: With the tasks whose items were seen in training; False where a table has them.
    """
    said = []
    for arm in report.ranked():
        name = report.label(arm)
        if arm.comparison.identical:
            said.append(f"{name}: every answer equals the base's. Was the adapter applied?")
        if arm.comparison.dropped:
            lost = sum(arm.comparison.dropped.values())
            said.append(f"{name}: {lost:,} items stand in one log only and were left out.")
        said += [f"{name}: {text}." for text in arm.comparison.settings[:3]]
    return said + notes_of_arms({report.label(arm): arm.comparison for arm in report.ranked()}, clean=clean)
