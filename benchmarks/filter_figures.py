"""What the filters do to published data, and how fast: languages told apart, refusals and copies found, rows a second.

    python benchmarks/filter_figures.py

Reads DATAKIT_REAL_DATA or ../shared/data. The peer of the language filter is langid's own way to be used: classify,
text by text, without a rule for what is unsure.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib.metadata
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from datakit.core.example import Example, Message, to_table
from datakit.core.step import StepContext
from datakit.filters.language import LanguageParams, LanguageStep, detect
from datakit.filters.length import LengthParams, LengthStep
from datakit.filters.overlap import OverlapParams, OverlapStep
from datakit.filters.quality import QualityParams, QualityStep
from datakit.filters.refusals import RefusalParams, RefusalStep


def texts(root: Path) -> dict[str, tuple[str, list[str]]]:
    """Name of the data to its language and rows."""
    found: dict[str, tuple[str, list[str]]] = {}
    with gzip.open(root / "classification/banking77/train.csv.gz", "rt", encoding="utf-8") as stream:
        found["banking77"] = ("en", [row["text"] for row in csv.DictReader(stream)])
    with gzip.open(root / "instruction/korean_chatbot/ChatbotData.csv.gz", "rt", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    found["korean_chatbot questions"] = ("ko", [row["Q"] for row in rows])
    found["korean_chatbot answers"] = ("ko", [row["A"] for row in rows])
    found["gpteacher answers"] = ("en", [answer for _, answer in conversations(root)])
    return found


def conversations(root: Path) -> list[tuple[str, str]]:
    """Prompt and answer of gpteacher's role plays."""
    file = root / "instruction/gpteacher/roleplay-simple-deduped-roleplay-dataset.json.gz"
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        raw = json.load(stream)
    return [(f"{row['instruction']}\n{row['input']}".strip(), row["output"]) for row in raw]


def example(k: int, *, text: str | None = None, pair: tuple[str, str] | None = None) -> Example:
    """A row of plain text or a conversation."""
    turns = None if pair is None else (Message("user", pair[0]), Message("assistant", pair[1]))
    return Example(id=str(k), group=str(k), source="s", origin=f"f:{k}", text=text, messages=turns)


def languages(root: Path) -> dict[str, Any]:
    """Rows of each data set that are wrongly dropped, with and without the rule for what is unsure."""
    found = {}
    for name, (language, rows) in texts(root).items():
        step = LanguageStep(LanguageParams(keep=(language,)), StepContext())
        start = time.perf_counter()
        dropped = step.apply(to_table(example(k, text=text) for k, text in enumerate(rows))).ledger.num_rows
        took = time.perf_counter() - start
        alone = sum(detect(text)[0] != language for text in rows)
        found[name] = {
            "language": language,
            "rows": len(rows),
            "wrongly_dropped": dropped,
            "wrong_without_unsure": alone,
            "rows_a_second": round(len(rows) / took),
        }
    return found


def speeds(root: Path) -> dict[str, Any]:
    """Rows dropped and rows a second of the other filters on gpteacher's role plays."""
    pairs = conversations(root)
    chats = to_table(example(k, pair=pair) for k, pair in enumerate(pairs))
    plain = to_table(example(k, text=f"{prompt}\n{answer}") for k, (prompt, answer) in enumerate(pairs))
    found = {}
    for step, table in (
        (LengthStep(LengthParams(min_chars=20, max_words=1000), StepContext()), chats),
        (RefusalStep(RefusalParams(), StepContext()), chats),
        (OverlapStep(OverlapParams(), StepContext()), chats),
        (QualityStep(QualityParams(use=("gopher", "gopher_repetition", "c4", "fineweb")), StepContext()), plain),
    ):
        start = time.perf_counter()
        dropped = step.apply(table).ledger.num_rows
        took = time.perf_counter() - start
        found[step.name] = {
            "rows": table.num_rows,
            "dropped": dropped,
            "rows_a_second": round(table.num_rows / took),
        }
    return found


def main() -> None:
    """Prints the figures and writes them where ``--output`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/filter_figures.json"))
    options = parser.parse_args()
    default = Path(__file__).resolve().parents[1] / "shared" / "data"
    root = Path(os.environ.get("DATAKIT_REAL_DATA") or default)
    result = {
        "format": 1,
        "command": "python benchmarks/filter_figures.py",
        "language": languages(root),
        "others": speeds(root),
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "system": platform.platform()},
        "versions": {name: importlib.metadata.version(name) for name in ("py3langid", "pyarrow", "numpy")},
    }
    print(json.dumps(result, indent=1))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
