"""After a pii step no planted value stands anywhere outside private/: not in a file, a report or the loaded dataset."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from datakit.experiment.run import run


def fake_values(count: int) -> list[str]:
    """Distinct values of the kinds pattern recognisers know; all from ranges that are kept free for examples."""
    rng = random.Random(11)
    makers = [
        lambda n: f"person{n}.{rng.randrange(10**6)}@example.com",
        lambda n: f"+1 {rng.randrange(201, 980)}-555-01{n % 100:02d}",
        lambda n: f"192.0.2.{n % 250 + 1}",
        lambda n: card(f"411111{rng.randrange(10**9):09d}"),
        lambda n: f"https://shop{n}.example.org/orders/{rng.randrange(10**6)}",
    ]
    values: list[str] = []
    number = 0
    while len(values) < count:
        value = makers[number % len(makers)](number)
        number += 1
        if value not in values:
            values.append(value)
    return values


def card(digits: str) -> str:
    """The card number with its Luhn check digit."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return digits + str(-total % 10)


def everything(folder: Path) -> dict[str, str]:
    """Every file's content as text, Parquet decoded; private/ left out."""
    found: dict[str, str] = {}
    for path in folder.rglob("*"):
        if not path.is_file() or "private" in path.relative_to(folder).parts:
            continue
        raw = path.read_bytes()
        text = raw.decode("utf-8", "replace")
        if path.suffix == ".parquet":
            text += json.dumps(pq.read_table(path).to_pylist(), ensure_ascii=False, default=str)
        found[str(path)] = text
    return found


@pytest.mark.slow
def test_two_hundred_planted_values_stand_nowhere_outside_private(project: Path, cache: Path) -> None:
    values = fake_values(200)
    with (project / "tickets.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, value in enumerate(values):
        row = rows[number % len(rows)]
        row["text"] += f" Reach me at {value} please."
        if number % 3 == 0:
            row["channel"] = f"web {value}"
    with (project / "tickets.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    raw = (project / "tickets.csv").read_text(encoding="utf-8")
    assert all(value in raw for value in values)

    out = run(project / "small.yaml", output=project / "out").folder
    files = {**everything(out), **everything(cache)}
    assert len(files) > 15
    leaks = {name: [value for value in values if value in text] for name, text in files.items()}
    assert {name: found for name, found in leaks.items() if found} == {}

    private = list((out / "private").rglob("*"))
    assert private, "the raw rows are kept, where only the owner reads them"
    assert all(path.stat().st_mode & 0o077 == 0 for path in private if path.is_file())

    import datasets

    loaded = datasets.load_dataset(str(out / "data"), cache_dir=str(cache / "hf"))
    text = json.dumps([list(split) for split in loaded.values()], ensure_ascii=False)
    assert "EMAIL" in text, "the rows are there, with tags"
    assert [value for value in values if value in text] == []
