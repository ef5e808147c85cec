"""Curation as a library: read a file, drop short and repeated rows, split, write a folder that load_dataset reads.

Usage: python examples/curate.py FILE [FOLDER]        FILE is a .jsonl or .csv with a column "text"
"""

from __future__ import annotations

import sys
from pathlib import Path

import datakit
from datakit.core.example import Example
from datakit.export import write_dataset
from datakit.filters import filter_table
from datakit.mixing import by_split, split

seen: set[str] = set()


def check(example: Example) -> str | None:
    """Why a row goes, or None."""
    text = " ".join((example.text or "").split()).lower()
    if text in seen:
        return "seen_before"
    seen.add(text)
    return "too_short" if len(text.split()) < 3 else None


table = datakit.read(sys.argv[1])
kept = filter_table(table, check)
print(f"{table.num_rows} rows read, {kept.table.num_rows} kept: {kept.ledger['reason'].value_counts().to_pylist()}")
parts = by_split(split(kept.table, validation=0.1, test=0.2, seed=1))
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "curated")
write_dataset(folder, parts, replay={}, card=lambda splits, _: f"# {len(splits)} splits of {sys.argv[1]}\n")
print(f"wrote {folder}: " + ", ".join(f"{name} {part.num_rows}" for name, part in parts.items()))
