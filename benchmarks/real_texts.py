"""Real texts for benchmarks, from DATAKIT_REAL_DATA (or ../shared/data), as they came."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("DATAKIT_REAL_DATA", ROOT.parent / "shared" / "data"))
Pair = tuple[str, str]


def opened(path: Path) -> TextIO:
    """A text file, gzipped or not."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    return opener(path, "rt", encoding="utf-8", newline="")


def listed(folder: str, pattern: str) -> list[Path]:
    """Files in a folder of the data, in order."""
    return sorted((DATA / folder).glob(pattern))


def gpteacher() -> Iterator[Pair]:
    """Instruction with input, and answer."""
    for path in listed("instruction/gpteacher", "*.json.gz"):
        with opened(path) as stream:
            for row in json.load(stream):
                asked = "\n".join(part for part in (row.get("instruction"), row.get("input")) if part)
                yield asked, str(row.get("output") or row.get("response") or "")


def gsm8k(part: str) -> Iterator[Pair]:
    """Question and solution."""
    with opened(DATA / "benchmarks/gsm8k" / f"{part}.jsonl.gz") as stream:
        yield from ((row["question"], row["answer"]) for row in map(json.loads, stream))


def rendered() -> Iterator[Pair]:
    """Rows of T0's training data: the same base rows under many templates."""
    for path in listed("instruction/t0_p3_rendered", "*.jsonl*"):
        with opened(path) as stream:
            yield from ((row["prompt"], str(row["completion"])) for row in map(json.loads, stream))


def sms() -> Iterator[str]:
    """Short messages."""
    with opened(DATA / "classification/sms_spam/SMSSpamCollection.gz") as stream:
        yield from (line.rstrip("\n").split("\t", 1)[1] for line in stream)


def korean_chat() -> Iterator[Pair]:
    """What is said and what is answered."""
    for path in listed("instruction/korean_chatbot", "*.csv*"):
        with opened(path) as stream:
            yield from ((row["Q"], row["A"]) for row in csv.DictReader(stream))


def korean_reviews() -> Iterator[str]:
    """Film reviews."""
    with opened(DATA / "korean/nsmc/train_first20k.tsv.gz") as stream:
        yield from (line.rstrip("\n").split("\t")[1] for line in list(stream)[1:])


def korean_inference() -> Iterator[Pair]:
    """Premise with hypothesis, and label."""
    with opened(DATA / "korean/klue_dev/klue-nli-v1.1_dev.json.gz") as stream:
        for row in json.load(stream):
            yield f"{row['premise']}\n{row['hypothesis']}", row["gold_label"]


def multiple_choice(task: str, part: str) -> Iterator[Pair]:
    """Question with options, and answer."""
    for path in listed(f"benchmarks/llm_adapters_commonsense_math/{task}", f"{part}.json*"):
        with opened(path) as stream:
            yield from ((row["instruction"], row["answer"]) for row in json.load(stream))


def truthful() -> Iterator[Pair]:
    """Question and best answer."""
    with opened(DATA / "benchmarks/truthfulqa/TruthfulQA.csv.gz") as stream:
        yield from ((row["question"], row["answer"]) for row in csv.DictReader(stream))


def wikipedia(part: str) -> Iterator[str]:
    """Paragraphs of WikiText-2, its spaces before punctuation and its ``@-@`` taken out."""
    with opened(DATA / "text/wikitext2_valid_test" / f"{part}.txt.gz") as stream:
        for line in stream:
            if len(line) > 40 and not line.lstrip().startswith("="):
                yield re.sub(r" ([,.;:)'])", r"\1", re.sub(r" @(.)@ ", r"\1", line)).strip()
