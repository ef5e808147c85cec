"""The data card: YAML header for the hub and ``load_dataset``, then what a reader must know, in counts, not rows."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

__all__ = ["CardFacts", "CardSource", "CardStep", "data_card"]

_MAX_LABELS = 40


@dataclass(frozen=True, slots=True)
class CardSource:
    """One line of the table of sources; ``rows`` are those that could be read."""

    name: str
    use: str
    files: Sequence[str]
    rows: int
    private: bool
    license: str | None = None


@dataclass(frozen=True, slots=True)
class CardStep:
    """One line of the table of steps."""

    name: str
    rows_in: int
    rows_out: int
    what: str


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card is written from, besides the rows.

    Attributes:
        name: Of the recipe.
        sources: Where the rows come from.
        steps: Sources and steps in order.
        notes: Step name to what it says of itself.
        replay: Source name to rows in ``replay/``.
        license: As given in the recipe.
        language: Codes.
        has_pii: Whether a step that looks for personal data ran.
        has_decontamination: Whether the rows were compared with benchmark items.
        seed: Of the recipe.
        version: Of datakit.
    """

    name: str
    sources: Sequence[CardSource]
    steps: Sequence[CardStep]
    notes: Sequence[tuple[str, str]] = ()
    replay: Mapping[str, int] = field(default_factory=dict)
    license: str | None = None
    language: Sequence[str] = ()
    has_pii: bool = False
    has_decontamination: bool = False
    seed: int = 0
    version: str = ""


def data_card(facts: CardFacts, splits: Mapping[str, pa.Table], sizes: Mapping[str, int]) -> str:
    """The card's Markdown.

    Args:
        facts: What is known of the build.
        splits: Split name to the rows as written.
        sizes: Split name to the bytes of its file.
    """
    parts = [
        _header(facts, splits, sizes),
        f"# {_inline(facts.name)}\n",
        f"Built by datakit {facts.version} from a recipe, seed {facts.seed}. Load it with\n",
        "```python\nfrom datasets import load_dataset\n\ndata = load_dataset(FOLDER)\n```\n",
        "## Splits\n",
        _table(["split", "rows"], [[name, f"{table.num_rows:,}"] for name, table in splits.items()]),
        *_labels(splits),
        "## Sources\n",
        _table(
            ["source", "use", "rows", "files", "licence", "private"],
            [_source(source) for source in facts.sources],
        ),
        "## Steps\n",
        "Rows in + rows created = rows out + rows dropped, in every line. Each row's story is in the run's ledger.\n",
        _table(
            ["step", "rows in", "rows out", "what happened"],
            [[step.name, f"{step.rows_in:,}", f"{step.rows_out:,}", step.what] for step in facts.steps],
        ),
        "## Personal data\n",
        _personal(facts),
        "## Benchmarks\n",
        _contamination(facts),
    ]
    own = ("pii", "decontaminate")
    others = [f"- {step}: {_inline(note, code=True)}" for step, note in facts.notes if step not in own]
    if others:
        parts += ["## Notes\n", "\n".join(others) + "\n"]
    if facts.replay:
        rows = [[f"replay/{name}.parquet", f"{count:,}"] for name, count in facts.replay.items()]
        parts += [
            "## Other text\n",
            "Neither split nor templated, not loaded by default.\n",
            _table(["file", "rows"], rows),
        ]
    return "\n".join(parts)


def _header(facts: CardFacts, splits: Mapping[str, pa.Table], sizes: Mapping[str, int]) -> str:
    lines = ["---", f"license: {json.dumps(facts.license or 'unknown')}"]
    if facts.language:
        lines += ["language:", *(f"- {json.dumps(code)}" for code in facts.language)]
    lines += [f"pretty_name: {json.dumps(facts.name, ensure_ascii=False)}"]
    lines += ["size_categories:", f"- {_size(sum(table.num_rows for table in splits.values()))}"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for name in splits:
        lines += [f"  - split: {name}", f"    path: {name}-*.parquet"]
    lines += ["dataset_info:", "  config_name: default", "  splits:"]
    for name, table in splits.items():
        lines += [f"  - name: {name}", f"    num_bytes: {sizes[name]}", f"    num_examples: {table.num_rows}"]
    return "\n".join([*lines, "---", ""])


def _size(rows: int) -> str:
    for limit, text in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if rows < limit:
            return text
    return "1M<n<10M" if rows < 10_000_000 else "n>10M"


def _labels(splits: Mapping[str, pa.Table]) -> list[str]:
    """Label balance per split, the most frequent labels first; nothing where no row has a label."""
    counts = {name: Counter(table.column("label").drop_null().to_pylist()) for name, table in splits.items()}
    total: Counter[str] = sum(counts.values(), Counter())
    if not total or len(total) > 1000:
        return []
    shown = sorted(total, key=lambda label: (-total[label], label))
    rows = [
        [_inline(label), *(f"{count[label]:,} ({_share(count[label], count.total())})" for count in counts.values())]
        for label in shown[:_MAX_LABELS]
    ]
    rest = shown[_MAX_LABELS:]
    if rest:
        rows.append([f"{len(rest)} more", *(f"{sum(count[label] for label in rest):,}" for count in counts.values())])
    return ["## Labels\n", _table(["label", *counts], rows)]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _personal(facts: CardFacts) -> str:
    if not facts.has_pii:
        return "No step looked for personal data.\n"
    notes = [_inline(note) for step, note in facts.notes if step == "pii"]
    return "\n".join(f"- {note}" for note in notes or ["A step replaced what it found; see the steps."]) + "\n"


def _contamination(facts: CardFacts) -> str:
    if not facts.has_decontamination:
        return "The rows were not compared with benchmark items.\n"
    notes = [_inline(note) for step, note in facts.notes if step == "decontaminate"]
    return (
        "\n".join(f"- {note}" for note in notes or ["Rows that repeat a benchmark item are gone; see the steps."])
        + "\n"
    )


def _source(source: CardSource) -> list[str]:
    files = ", ".join(source.files[:4]) + (", ..." if len(source.files) > 4 else "")
    licence = _inline(source.license) if source.license else "unknown"
    return [source.name, source.use, f"{source.rows:,}", files, licence, "yes" if source.private else "no"]


def _inline(text: str, *, code: bool = False) -> str:
    """Text from outside on one line of Markdown, without markup of its own but, with ``code``, backquotes."""
    marks = "\\*_[]<>|#" if code else "\\`*_[]<>|#"
    return "".join(f"\\{char}" if char in marks else char for char in " ".join(text.split()))


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(re.sub(r"(?<!\\)\|", r"\|", cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
