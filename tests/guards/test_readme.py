"""What README says about adding a part is done here, with its own snippets."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [match.groups() for match in re.finditer(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)]


def block(language: str, word: str) -> str:
    """The one block of that language with that word in it."""
    (found,) = (text for name, text in BLOCKS if name == language and word in text)
    return found


def test_every_part_takes_under_thirty_lines() -> None:
    assert max(text.count("\n") for name, text in BLOCKS if name != "text") < 30


def test_the_filter_and_the_template_work_in_a_build(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    import datakit

    (tmp_path / "mine.py").write_text(block("python", "def shouting"))
    (tmp_path / "tickets.template.yaml").write_text(block("yaml", "name: desk"))
    rows = [f"a quiet message number {index},{'ab'[index % 2]}" for index in range(9)]
    (tmp_path / "tickets.csv").write_text("\n".join(["text,label", *rows, "A LOUD MESSAGE FOR ALL OF YOU,a"]) + "\n")
    steps = [block("yaml", 'use: "mine:shouting"'), block("yaml", "{use: tickets.template.yaml}")]
    lines = [line for step in steps for line in step.splitlines() if line.startswith("- ")]
    recipe = tmp_path / "tickets.yaml"
    recipe.write_text(
        "format: 1\ndata:\n  sources:\n    tickets: {path: tickets.csv}\n  steps:\n"
        + "".join(f"    {line}\n" for line in lines)
    )
    datakit.build(recipe, output=tmp_path / "out")
    ledger = pq.read_table(next((tmp_path / "out").rglob("*filter*.parquet"))).to_pylist()
    assert [row["reason"] for row in ledger if row["action"] == "dropped"] == ["shouting"]
    (made,) = (tmp_path / "out").rglob("train-*.parquet")
    messages = pq.read_table(made).column("messages").to_pylist()
    assert len(messages) == 9
    assert all(turns[0]["content"].endswith("Which desk? One of: a, b") for turns in messages)


def test_the_source_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datakit
    from datakit.sources.spec import FORMATS

    module = types.ModuleType("my_package_ini")
    exec(block("python", "def read_ini"), module.__dict__)
    monkeypatch.setitem(sys.modules, "my_package_ini", module)
    monkeypatch.setitem(FORMATS.builtin, "ini", "my_package_ini:read_ini")
    (tmp_path / "x.ini").write_text("[section]\ncolour = red\nsize = 3\n")
    table = datakit.read("x.ini", folder=tmp_path, format="ini")
    assert table.column("text").to_pylist() == ["red", "3"]
    assert table.column("label").to_pylist() == ["colour", "size"]


def test_the_suite_loads(tmp_path: Path) -> None:
    evalkit = pytest.importorskip("evalkit")
    if not hasattr(evalkit, "load_suite"):
        pytest.skip("evalkit.load_suite is not there yet")
    (tmp_path / "retain.yaml").write_text(block("yaml", "name: retain"))
    (tmp_path / "capitals.jsonl").write_text('{"country": "Peru", "cities": ["Lima", "Rome"], "answer": 0}\n')
    suite = evalkit.load_suite(tmp_path / "retain.yaml")
    assert [task.name for task in suite.tasks] == ["arc_easy", "capitals"]


def test_the_library_calls_exist() -> None:
    import datakit

    for name in re.findall(r"datakit\.(\w+)\(", block("python", "import datakit\n\ntable")):
        assert callable(getattr(datakit, name))


def test_the_backend_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datakit.core.example import Example, Message, to_table
    from datakit.core.storage import write_table
    from datakit.pocket import model_path
    from train import Arm, fit
    from train.backends import BACKENDS

    module = types.ModuleType("my_package_nudge")
    exec(block("python", "class Nudge"), module.__dict__)
    monkeypatch.setitem(sys.modules, "my_package_nudge", module)
    monkeypatch.setitem(BACKENDS.builtin, "nudge", "my_package_nudge:Nudge")
    turns = (Message("user", "The clock was"), Message("assistant", "bright."))
    write_table(tmp_path / "rows.parquet", to_table([Example("1", "1", "t", "t:1", messages=turns)]))
    result = fit(
        Arm(backend="nudge", steps=1), model=model_path(), data=tmp_path / "rows.parquet", output=tmp_path / "out"
    )
    assert (result.folder / "adapter_model.safetensors").is_file()


def test_the_arms_are_arms() -> None:
    from ruamel.yaml import YAML

    from train import Arm

    arms = YAML(typ="safe").load(block("yaml", "save_every: 50"))["arms"]
    assert [Arm.model_validate(arm).objective for arm in arms.values()] == ["sft", "sft", "dpo", "sft", "sft"]
