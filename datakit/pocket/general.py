"""General text and general instructions, freshly drawn: what retention methods replay. Never a held-out item."""

from __future__ import annotations

import json
import random
from pathlib import Path

from datakit.core.storage import write_text
from datakit.pocket.corpus import document, training_item
from datakit.pocket.families import FAMILIES

__all__ = ["write_general", "write_multitask"]


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_general(path: Path, *, seed: int, rows: int = 1000) -> None:
    """Writes JSONL with the columns id and text: documents as pretraining has them, from another seed."""
    rng = random.Random(f"general {seed}")
    _write(path, [{"id": f"G-{number:05d}", "text": document(rng)} for number in range(1, rows + 1)])


def write_multitask(path: Path, *, seed: int, rows: int = 1000) -> None:
    """Writes JSONL with the columns id, family, prompt and answer: all general families in turn."""
    rng = random.Random(f"multitask {seed}")
    families = list(FAMILIES)
    written = []
    for number in range(rows):
        family = families[number % len(families)]
        item = training_item(rng, family)
        written.append({"id": f"M-{number + 1:05d}", "family": family, "prompt": item.prompt, "answer": item.answer})
    _write(path, written)
