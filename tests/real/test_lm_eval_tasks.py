"""lm-eval's own tasks under their own configuration, only the data files swapped for the shared ones."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from datakit.core.hub import local_first

pytestmark = [pytest.mark.real, pytest.mark.slow]

ITEMS = 12


def rows_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        text = stream.read()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def put(hub: Path, name: str, splits: dict[str, list[dict[str, Any]]], config: str | None = None) -> None:
    folder = hub / "datasets" / name
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for split, rows in splits.items():
        file = f"{config or 'default'}-{split}.jsonl"
        (folder / file).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
        files.append(f"  - {{split: {split}, path: {file}}}")
    card = folder / "README.md"
    old = card.read_text("utf-8").rpartition("---\n")[0] if card.exists() else "---\nconfigs:\n"
    card.write_text(
        old + f"- config_name: {config or 'default'}\n  data_files:\n" + "\n".join(files) + "\n---\n", "utf-8"
    )


def parted(pattern: str, row: dict[str, Any]) -> tuple[str, ...]:
    match = re.search(pattern, row["instruction"], re.S)
    assert match is not None
    return tuple(part.strip() for part in match.groups())


def arc(row: dict[str, Any]) -> dict[str, Any]:
    question, options = parted(r"question: (.*?)\n\nAnswer1: (.*?)\n\nAnswer format", row)
    texts = re.split(r"\s+Answer\d: ", options)
    labels = "ABCDE"[: len(texts)]
    return {
        "question": question,
        "choices": {"text": texts, "label": list(labels)},
        "answerKey": labels[int(row["answer"][-1]) - 1],
    }


def boolq(row: dict[str, Any]) -> dict[str, Any]:
    (question,) = parted(r"question: (.*?)\??\n\nAnswer format", row)
    return {"question": question, "passage": "", "label": int(row["answer"] == "true")}


def piqa(row: dict[str, Any]) -> dict[str, Any]:
    goal, one, two = parted(r"question: (.*?)\n\nSolution1: (.*?)\n\nSolution2: (.*?)\n\nAnswer format", row)
    return {"goal": goal, "sol1": one, "sol2": two, "label": int(row["answer"][-1]) - 1}


def winogrande(row: dict[str, Any]) -> dict[str, Any]:
    sentence, one, two = parted(r"sentence: (.*?)\n\nOption1: (.*?) Option2: (.*?) Answer format", row)
    return {"sentence": sentence, "option1": one, "option2": two, "answer": row["answer"][-1]}


def truthful(row: dict[str, str]) -> dict[str, Any]:
    wrong = [one.strip() for one in row["Incorrect Answers"].split(";")]
    texts = [row["Best Incorrect Answer"] and row["Correct Answers"].split(";")[0].strip(), *wrong]
    right = {"choices": texts, "labels": [1] + [0] * len(wrong)}
    return {"question": row["question"], "mc1_targets": right, "mc2_targets": right}


@pytest.fixture
def hub(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    folder, math = tmp_path / "hub", real_data / "benchmarks" / "llm_adapters_commonsense_math"
    for config in ("ARC-Easy", "ARC-Challenge"):
        rows = rows_of(math / config / "test.json.gz")[: 2 * ITEMS]
        items = [arc(row) for row in rows]
        put(
            folder,
            "allenai/ai2_arc",
            {"test": items[:ITEMS], "validation": items[ITEMS:], "train": items[ITEMS:]},
            config,
        )
    for name, part, make, config in (
        ("aps/super_glue", "boolq", boolq, "boolq"),
        ("baber/piqa", "piqa", piqa, None),
        ("allenai/winogrande", "winogrande", winogrande, "winogrande_xl"),
    ):
        rows = [make(row) for row in rows_of(math / part / "test.json.gz")[: 2 * ITEMS]]
        put(folder, name, {"validation": rows[:ITEMS], "train": rows[ITEMS:]}, config)
    gsm = real_data / "benchmarks" / "gsm8k"
    splits = {split: rows_of(gsm / f"{split}.jsonl.gz")[:ITEMS] for split in ("train", "test")}
    put(folder, "openai/gsm8k", splits, "main")
    with gzip.open(real_data / "benchmarks" / "truthfulqa" / "TruthfulQA.csv.gz", "rt", encoding="utf-8") as stream:
        asked = list(csv.DictReader(io.StringIO(stream.read())))[:ITEMS]
    put(folder, "truthfulqa/truthful_qa", {"validation": [truthful(row) for row in asked]}, "multiple_choice")
    return folder


TASKS = ("arc_easy", "arc_challenge", "boolq", "piqa", "winogrande", "gsm8k", "truthfulqa_mc1")


def test_every_task_with_local_data_runs_under_its_own_configuration(hub: Path, real_data: Path) -> None:
    from evalkit import Session, load_suite
    from evalkit.suites import RUN_HERE

    assert set(TASKS) < set(RUN_HERE)
    session = Session(real_data / "weights" / "stories260K" / "hf", offline=True)
    with local_first(hub):
        log = session.evaluate(load_suite(TASKS))
    counts = {task: 0 for task in TASKS}
    for row in log.primary().to_pylist():
        counts[row["task"]] += 1
        assert row["prompt"]
        assert row["target"]
    assert counts == dict.fromkeys(TASKS, ITEMS)
    assert log.header.tasks["gsm8k"].metric == "exact_match"
    with local_first(hub):
        again = session.evaluate(load_suite(TASKS))
    assert again.header.recorded["stored"] == len(TASKS)


def test_blimp_runs_as_a_group_of_its_paradigms(hub: Path, real_data: Path) -> None:
    from dataclasses import replace

    from evalkit import Session, load_suite
    from evalkit.groups import GroupSource
    from evalkit.needs import task_config

    whole = load_suite(["blimp"]).tasks[0]
    assert isinstance(whole.source, GroupSource)
    here = {path.name.partition(".")[0] for path in (real_data / "benchmarks" / "blimp").glob("*.jsonl.gz")}
    chosen = {}
    for name, source in sorted(whole.source.members.items())[:4]:
        config = task_config(source)
        part = config["dataset_name"]
        assert part in here
        put(
            hub,
            config["dataset_path"],
            {"train": rows_of(real_data / f"benchmarks/blimp/{part}.jsonl.gz")[:ITEMS]},
            part,
        )
        chosen[name] = source
    task = replace(whole, source=GroupSource("blimp", chosen), metric="acc", chat="none")
    session = Session(real_data / "weights" / "stories260K" / "hf", offline=True)
    with local_first(hub):
        log = session.evaluate(task)
    assert len(log.primary()) == 4 * ITEMS
    members = {row["item_id"].partition("/")[0] for row in log.primary().to_pylist()}
    assert members == set(chosen)
    assert 0.3 < sum(log.primary().column("score").to_pylist()) / (4 * ITEMS) < 1
    with local_first(hub):
        assert session.sizes(task) == {"blimp": 4 * ITEMS}
