"""The path ``engine: spacy:FOLDER``: a spaCy pipeline trained here on shared NER sets, and its F1 by seqeval.

    python benchmarks/pii_names.py

English from WNUT17 and Wikigold (tested on WNUT17's development set), Korean from KLUE's development set (nine tenths
train, one tests; a token is a character), each for a fixed CPU time: the path, not what a good model reaches.
F1 is seqeval's over one tag a character, so a name counts where both its ends are right.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import random
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datakit.pii.engine import load_engine

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 60  # of CPU, for each language
KINDS = {
    **{"person": "PERSON", "PER": "PERSON", "PS": "PERSON"},
    **{"location": "LOCATION", "LOC": "LOCATION", "LC": "LOCATION"},
    **{"corporation": "ORGANIZATION", "group": "ORGANIZATION", "ORG": "ORGANIZATION", "OG": "ORGANIZATION"},
}
Sentence = tuple[str, list[tuple[int, int, str]]]


def sentences(path: Path, joiner: str) -> list[Sentence]:
    """Texts and spans of a CoNLL file: a token and its tag on a line, an empty line between sentences."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as stream:
        blocks = stream.read().split("\n\n")
    found = []
    for block in blocks:
        text, spans = "", []
        for line in block.splitlines():
            if line.startswith("##") or not line.strip():
                continue
            token, _, tag = line.rpartition("\t") if "\t" in line else line.rpartition(" ")
            text += joiner if text else ""
            start, text = len(text), text + token
            kind = KINDS.get(tag[2:])
            if kind and spans and tag[0] == "I" and spans[-1][2] == kind and spans[-1][1] >= start - len(joiner):
                spans[-1] = (spans[-1][0], len(text), kind)
            elif kind:
                spans.append((start, len(text), kind))
        if text.strip():
            found.append((text, spans))
    return found


def train(language: str, rows: list[Sentence], folder: Path) -> None:
    """A blank pipeline with an entity recogniser, trained for a while; ``zh`` takes each character for a token."""
    import spacy
    from spacy.training import Example
    from spacy.util import filter_spans, minibatch

    nlp = spacy.blank(language)
    recognizer = nlp.add_pipe("ner")
    for kind in sorted(set(KINDS.values())):
        recognizer.add_label(kind)
    examples = []
    for text, spans in rows:
        doc = nlp.make_doc(text)
        kept = [span for span in (doc.char_span(*part[:2], label=part[2], alignment_mode="expand") for part in spans)]
        doc.set_ents(filter_spans([span for span in kept if span is not None]))
        examples.append(Example(nlp.make_doc(text), doc))
    optimizer = nlp.initialize(lambda: examples[:200])
    rng, stop = random.Random(0), time.process_time() + SECONDS
    while time.process_time() < stop:
        rng.shuffle(examples)
        for batch in minibatch(examples, 32):
            nlp.update(batch, sgd=optimizer, drop=0.2)
            if time.process_time() > stop:
                break
    nlp.to_disk(folder)


def tags(text: str, spans: list[tuple[int, int, str]]) -> list[str]:
    """One BIO tag a character."""
    found = ["O"] * len(text)
    for start, end, kind in spans:
        found[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    return found


def measure(language: str, train_rows: list[Sentence], test_rows: list[Sentence]) -> dict[str, Any]:
    """Trains, loads as the step would, and compares."""
    from seqeval.metrics import classification_report

    with tempfile.TemporaryDirectory() as folder:
        train(language, train_rows, Path(folder) / "model")
        found = load_engine(f"spacy:{Path(folder) / 'model'}")([text for text, _ in test_rows])
    gold = [tags(text, spans) for text, spans in test_rows]
    ours = [
        tags(text, [(s.start, s.end, s.entity) for s in spans])
        for (text, _), spans in zip(test_rows, found, strict=True)
    ]
    report = classification_report(gold, ours, output_dict=True, zero_division=0)
    table = {kind: {name: round(float(value), 3) for name, value in row.items()} for kind, row in report.items()}
    return {"train": len(train_rows), "test": len(test_rows), "seqeval": table}


def main() -> None:
    """Measures, prints and writes."""
    folder = Path(os.environ.get("DATAKIT_REAL_DATA", ROOT.parent / "shared" / "data"))
    english = sentences(folder / "ner/wnut17/wnut17train.conll.gz", " ")
    english += sentences(folder / "ner/wikigold/wikigold.conll.txt.gz", " ")
    korean = sentences(folder / "korean/klue_dev/klue-ner-v1.1_dev.tsv.gz", "")
    random.Random(0).shuffle(korean)
    cut = len(korean) // 10
    results = {
        "format": 1,
        "command": "python benchmarks/pii_names.py",
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("spacy", "seqeval")},
        "training_cpu_seconds_each": SECONDS,
        "english, WNUT17 development": measure("en", english, sentences(folder / "ner/wnut17/emerging.dev.conll", " ")),
        "korean, KLUE development (a tenth)": measure("zh", korean[cut:], korean[:cut]),
    }
    (ROOT / "benchmarks/results/pii_names.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
