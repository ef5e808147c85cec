"""Other trainers' formats: what goes in comes out again, what has no place is an error or counted."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from datakit.core.errors import StepError, StorageError, UsageError
from datakit.core.example import Example, Message, to_table
from datakit.export import export, exporter_names
from datakit.export.formats import EXPORTERS, Exported

ONE = (("user", "How many legs has a spider?"), ("assistant", "Eight."))
SYSTEM = (("system", "Answer with one word."), *ONE)
LONG = (*SYSTEM, ("user", "And an ant? 개미 🐜"), ("assistant", "Six."))
TOOL = (*ONE, ("tool", "8 = 8"), ("assistant", "It is eight."))


def example(turns: Any = None, *, n: int = 0, worse: str | None = None, **more: Any) -> Example:
    return Example(
        id=f"id{n}",
        group=f"id{n}",
        source="s",
        origin=f"a.jsonl:{n + 1}",
        messages=None if turns is None else tuple(Message(*turn) for turn in turns),
        rejected=None if worse is None else (Message("assistant", worse),),
        **more,
    )


def table(*turns: Any, **more: Any) -> pa.Table:
    return to_table(example(one, n=n, **more) for n, one in enumerate(turns))


def rows(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    found: list[dict[str, Any]] = (
        json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    )
    return found


def test_openai_weighs_the_last_answer_alone(tmp_path: Path) -> None:
    result = export(table(ONE, LONG), "openai", tmp_path / "a.jsonl")
    one, long = rows(tmp_path / "a.jsonl")
    assert one == {"messages": [{"role": role, "content": content} for role, content in ONE]}
    assert [turn.get("weight") for turn in long["messages"]] == [None, None, 0, None, 1]
    assert not result.losses
    assert not result.notes
    pairs = export(table(SYSTEM, worse="Nine."), "openai", tmp_path / "pairs")
    (pair,) = rows(pairs.files["train"])
    assert [turn["role"] for turn in pair["input"]["messages"]] == ["system", "user"]
    assert pair["preferred_output"] == [{"role": "assistant", "content": "Eight."}]
    assert pair["non_preferred_output"] == [{"role": "assistant", "content": "Nine."}]


def test_axolotl_marks_the_last_answer_and_describes_its_files(tmp_path: Path) -> None:
    result = export({"train": table(LONG), "validation": table(ONE)}, "axolotl", tmp_path / "a")
    (row,) = rows(result.files["train"])
    assert [turn["train"] for turn in row["messages"]] == [False, False, False, False, True]
    config = YAML(typ="safe").load((tmp_path / "a" / "axolotl.yaml").read_text())
    assert config["datasets"][0]["path"] == "train.jsonl"
    assert config["datasets"][0]["type"] == "chat_template"
    assert config["datasets"][0]["message_field_training"] == "train"
    assert config["test_datasets"][0]["path"] == "validation.jsonl"


def test_llamafactory_keeps_system_and_tools_and_says_what_trains(tmp_path: Path) -> None:
    result = export(table(ONE, LONG, TOOL), "llamafactory", tmp_path / "a")
    one, long, tool = rows(result.files["train"])
    assert (one["system"], long["system"]) == ("", "Answer with one word.")
    assert [turn["from"] for turn in tool["conversations"]] == ["human", "gpt", "observation", "gpt"]
    assert sum(result.notes.values()) == 2
    info = json.loads((tmp_path / "a" / "dataset_info.json").read_text())
    assert info["train"]["formatting"] == "sharegpt"
    with pytest.raises(StepError, match=r"a\.jsonl:1: .*take turns"):
        export(table((("user", "a"), ("user", "b"), ("assistant", "c"))), "llamafactory", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_alpaca_has_no_place_for_much(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"system prompt has no place.*--lossy"):
        export(table(SYSTEM), "alpaca", tmp_path / "a.json")
    result = export(table(ONE, SYSTEM, LONG), "alpaca", tmp_path / "a.json", lossy=True)
    assert (
        rows(tmp_path / "a.json")
        == [{"instruction": "How many legs has a spider?", "input": "", "output": "Eight."}] * 2
    )
    assert dict(result.losses) == {"system_prompt": 1}
    assert dict(result.left_out) == {"more than one question and one answer": 1}
    assert result.rows == {"train": 2}


@pytest.mark.parametrize("name", ["alpaca", "axolotl", "llamafactory", "openai", "sharegpt", "trl", "trl-messages"])
def test_nothing_is_lost_in_silence(name: str, tmp_path: Path) -> None:
    """Every text of every row stands in the file, or the row or the loss is counted."""
    marked = [
        example((("system", "S0"), ("user", "U0"), ("assistant", "A0"), ("user", "V0"), ("assistant", "B0")), n=0),
        example((("user", "U1"), ("assistant", "A1")), n=1, worse="W1"),
        example(None, n=2, text="T2", label="L2"),
        example((("user", "U3"),), n=3),
        example((("user", "U4"), ("assistant", "A4")), n=4),
        example((("user", "U5"), ("tool", "T5"), ("assistant", "A5")), n=5),
        example(None, n=6),
    ]
    for order in (marked, marked[::-1]):
        out = tmp_path / f"{name}-{order[0].id}"
        with pytest.raises(StepError):
            export(to_table(order), name, out)
        assert not out.exists()
        result = export(to_table(order), name, out, lossy=True)
        text = result.files["train"].read_text()
        written = rows(result.files["train"])
        assert len(written) == result.rows["train"]
        assert len(written) + result.left_out.total() == len(order)
        missing = 0
        for one in order:
            texts = [turn.content for turn in (*(one.messages or ()), *(one.rejected or ()))] + [one.text, one.label]
            there = [item for item in texts if item and f'"{item}"' in text]
            missing += bool(there) and len(there) < len([item for item in texts if item])
        assert missing == result.losses.total()


def test_a_format_of_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPORTERS.builtin, "mine", f"{__name__}:Mine")
    monkeypatch.setitem(sys.modules, __name__, types.SimpleNamespace(Mine=Mine))
    result = export(table(ONE, LONG), "mine", tmp_path / "out")
    assert rows(result.files["train"]) == [{"last": "Eight."}, {"last": "Six."}]
    assert [path.read_text() for path in result.beside] == ["train.jsonl of chat"]


class Mine:
    suffix = ".jsonl"

    def row(self, example: Example) -> Exported:
        return Exported({"last": example.answer})

    def beside(self, files: Any, kind: str) -> dict[str, str]:
        return {"about.txt": f"{files['train']} of {kind}"}


def test_an_empty_table_and_wrong_calls(tmp_path: Path) -> None:
    for name in exporter_names():
        result = export(table(), name, tmp_path / name)
        assert result.rows.get("train", 0) == 0
    with pytest.raises(UsageError, match="Did you mean 'alpaca'"):
        export(table(ONE), "alpacca", tmp_path / "x")
    with pytest.raises(UsageError, match="needs a folder"):
        export(table(ONE), "llamafactory", tmp_path / "x.json")
    with pytest.raises(UsageError, match=r"written as \.jsonl"):
        export(table(ONE), "trl", tmp_path / "x.json")
    with pytest.raises(UsageError, match="splits"):
        export({"train": table(ONE), "test": table(ONE)}, "openai", tmp_path / "x.jsonl")
    with pytest.raises(StorageError, match="no data set"):
        export(tmp_path, "trl", tmp_path / "x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="other files"):
        export(table(ONE), "trl", tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()
