"""Recipes for files of every shape: valid, short, the same every time, and what they were taken for."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from datakit.core.errors import SourceError, UsageError
from datakit.core.yaml import load_yaml
from datakit.experiment.init import Draft, draft, write
from datakit.recipe import DataRecipe


def table(path: Path, rows: list[dict[str, Any]]) -> str:
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def texts(count: int, words: str = "one two three four five six seven eight nine ten") -> list[str]:
    rng = random.Random(1)
    return [" ".join(rng.choices(words.split(), k=8)) + f" {index}" for index in range(count)]


def recipe(drafted: Draft) -> dict[str, Any]:
    """The recipe read back from disk; its data part is checked by the room it belongs to."""
    write(drafted, force=True)
    assert drafted.text.count("\n") < 30
    value = load_yaml(drafted.path).value
    DataRecipe.model_validate(value["data"])
    return dict(value)


def steps(value: dict[str, Any]) -> dict[str, Any]:
    return {name: params for step in value["data"]["steps"] for name, params in step.items()}


def test_text_and_label(tmp_path: Path) -> None:
    rows = [
        {"id": f"t{index}", "text": text, "queue": ("refund", "order cancel")[index % 2], "customer": index // 3}
        for index, text in enumerate(texts(60))
    ]
    drafted = draft(table(tmp_path / "tickets.csv", rows), output=tmp_path / "r.yaml")
    value = recipe(drafted)
    source = value["data"]["sources"]["tickets"]
    assert source == {
        "path": "tickets.csv",
        "columns": {"text": "text"},
        "labels": {"column": "queue", "names": ["order cancel", "refund"]},
    }
    assert steps(value)["split"] == {"validation": 0.1, "test": 0.15, "stratify": "label", "group": "customer"}
    assert steps(value)["template"]["use"] == "classify"
    assert drafted.meaning.id == "id"
    assert value["model"] == "pocket"


def test_korean_prompt_and_answer(tmp_path: Path) -> None:
    rows = [{"Q": f"오늘 날씨 {text} 어때", "A": "맑아요"} for text in texts(30, "가나 다라 마바")]
    drafted = draft(table(tmp_path / "chat.csv", rows), output=tmp_path / "r.yaml")
    value = recipe(drafted)
    assert value["data"]["sources"]["chat"]["columns"] == {"prompt": "Q", "answer": "A"}
    assert value["data"]["language"] == "ko"
    assert "template" not in steps(value)


@pytest.mark.parametrize(("role", "content"), [("role", "content"), ("from", "value")])
def test_conversations(tmp_path: Path, role: str, content: str) -> None:
    turns = [[{role: "user", content: text}, {role: "assistant", content: "yes"}] for text in texts(20)]
    drafted = draft(
        table(tmp_path / "c.jsonl", [{"conversations": turn} for turn in turns]), output=tmp_path / "r.yaml"
    )
    assert recipe(drafted)["data"]["sources"]["c"]["columns"] == {"messages": "conversations"}
    assert drafted.meaning.shape == "chat"


def test_alpaca_with_inputs_gets_a_template_of_its_own(tmp_path: Path) -> None:
    rows = [
        {"instruction": text, "input": "" if index % 2 else "thing", "output": "done"}
        for index, text in enumerate(texts(30))
    ]
    drafted = draft(table(tmp_path / "a.json.jsonl", rows), output=tmp_path / "r.yaml")
    value = recipe(drafted)
    assert steps(value)["template"] == {"use": "r.template.yaml"}
    assert steps(value)["dedup"] == {"on": ["instruction", "input"], "threshold": 0.8}
    template = load_yaml(tmp_path / "r.template.yaml").value
    import jinja2

    wording = template["templates"][0]
    rendered = [jinja2.Template(wording["input"]).render(row) for row in rows[:2]]
    assert rendered == [f"{rows[0]['instruction']}\n\nthing", rows[1]["instruction"]]
    assert jinja2.Template(wording["target"]).render(rows[0]) == "done"


def test_alpaca_without_inputs_needs_none(tmp_path: Path) -> None:
    rows = [{"instruction": text, "input": "", "output": "done", "answer": "x"} for text in texts(30)]
    drafted = draft(table(tmp_path / "a.jsonl", rows), output=tmp_path / "r.yaml")
    assert recipe(drafted)["data"]["sources"]["a"]["columns"] == {"prompt": "instruction", "answer": "output"}
    assert drafted.template is None


def test_entailment_and_other_pairs(tmp_path: Path) -> None:
    labels = ["entailment", "neutral"]
    for first, second, use in (("premise", "hypothesis", "nli"), ("sentence1", "sentence2", "r.template.yaml")):
        rows = [
            {first: text, second: text[::-1], "gold_label": labels[index % 2]} for index, text in enumerate(texts(40))
        ]
        value = recipe(draft(table(tmp_path / "p.jsonl", rows), output=tmp_path / "r.yaml"))
        assert steps(value)["template"]["use"] == use
        assert value["data"]["sources"]["p"]["labels"]["names"] == labels


def test_preference_pairs(tmp_path: Path) -> None:
    rows = [{"prompt": text, "chosen": "good", "rejected": "bad"} for text in texts(20)]
    value = recipe(draft(table(tmp_path / "d.jsonl", rows), output=tmp_path / "r.yaml"))
    assert value["data"]["sources"]["d"]["columns"] == {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    assert [arm.get("objective", "sft") for arm in value["arms"].values()] == ["dpo", "sft"]
    assert value["evaluate"]["task"] is None


def test_plain_text_has_no_task(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("\n".join(texts(30)))
    value = recipe(draft(str(tmp_path / "book.txt"), output=tmp_path / "r.yaml"))
    assert value["evaluate"]["task"] is None
    assert value["data"]["sources"]["book"]["format"] == "text"


def test_the_files_own_split_is_taken(tmp_path: Path) -> None:
    rows = [
        {"text": text, "label": "ab"[index % 2], "fold": ("train", "dev", "test")[index % 3]}
        for index, text in enumerate(texts(60))
    ]
    assert steps(recipe(draft(table(tmp_path / "t.csv", rows), output=tmp_path / "r.yaml")))["split"] == {"by": "fold"}


def test_personal_data_is_met_with_a_step(tmp_path: Path) -> None:
    rows = [
        {"text": f"{text} write to anna{index}@example.org or 010-1234-5678", "label": "ab"[index % 2]}
        for index, text in enumerate(texts(30))
    ]
    drafted = draft(table(tmp_path / "t.csv", rows), output=tmp_path / "r.yaml")
    value = recipe(drafted)
    assert drafted.meaning.personal == {"e-mail": 30, "phone": 30}
    assert value["data"]["sources"]["t"]["private"] is True
    assert steps(value)["pii"] == {"replace": "tag"}


def test_labels_that_yaml_would_misread(tmp_path: Path) -> None:
    labels = ["no", "1e-5", "null", "a: b", '"quoted"', "#hash", "예"]
    rows = [{"text": text, "label": labels[index % len(labels)]} for index, text in enumerate(texts(70))]
    value = recipe(draft(table(tmp_path / "t.csv", rows), output=tmp_path / "r.yaml"))
    assert value["data"]["sources"]["t"]["labels"]["names"] == sorted(labels)


def test_column_names_that_yaml_would_misread(tmp_path: Path) -> None:
    rows = [{"the: text, {all}": text, "[label]": "ab"[index % 2]} for index, text in enumerate(texts(40))]
    value = recipe(draft(table(tmp_path / "t.csv", rows), output=tmp_path / "r.yaml"))
    assert value["data"]["sources"]["t"]["columns"] == {"text": "the: text, {all}"}


def test_many_labels_are_not_listed(tmp_path: Path) -> None:
    rows = [{"text": text, "intent": f"intent_{index % 77}"} for index, text in enumerate(texts(800))]
    value = recipe(draft(table(tmp_path / "t.csv", rows), output=tmp_path / "r.yaml"))
    assert value["data"]["sources"]["t"]["labels"] == {"column": "intent"}


def test_a_person_knows_better(tmp_path: Path) -> None:
    rows = [{"text": text, "note": text[::-1], "label": "ab"[index % 2]} for index, text in enumerate(texts(40))]
    path = table(tmp_path / "t.csv", rows)
    said = {"prompt": "note", "answer": "text"}
    value = recipe(draft(path, output=tmp_path / "r.yaml", said=said))
    assert value["data"]["sources"]["t"]["columns"] == said
    with pytest.raises(SourceError, match="no column 'nope'"):
        draft(path, said={"text": "nope"})


def test_columns_that_tell_nothing_are_listed(tmp_path: Path) -> None:
    rows = [{"alpha": text, "beta": text[::-1], "gamma": index} for index, text in enumerate(texts(40))]
    with pytest.raises(SourceError, match=r"alpha \(text\).*--column prompt="):
        draft(table(tmp_path / "t.csv", rows))


def test_one_column_is_text(tmp_path: Path) -> None:
    drafted = draft(table(tmp_path / "t.csv", [{"sentence": text} for text in texts(20)]), output=tmp_path / "r.yaml")
    assert recipe(drafted)["data"]["sources"]["t"]["columns"] == {"text": "sentence"}


def test_the_same_file_gives_the_same_recipe(tmp_path: Path) -> None:
    rows = [{"text": text, "label": "abc"[index % 3]} for index, text in enumerate(texts(90))]
    path = table(tmp_path / "t.csv", rows)
    assert draft(path, output=tmp_path / "r.yaml").text == draft(path, output=tmp_path / "r.yaml").text


def test_paths_are_relative_to_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "recipes").mkdir()
    table(
        tmp_path / "data" / "한글 이름.csv", [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts(20))]
    )
    monkeypatch.chdir(tmp_path)
    value = recipe(draft("data/한글 이름.csv", output=Path("recipes/r.yaml")))
    ((name, source),) = value["data"]["sources"].items()
    assert (name, source["path"]) == ("data", "../data/한글 이름.csv")


def test_another_model_is_compared_on_other_tasks(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts(20))])
    value = recipe(draft(path, output=tmp_path / "r.yaml", model="Qwen/Qwen3-0.6B"))
    assert value["model"] == "Qwen/Qwen3-0.6B"
    assert "pocket" not in value["evaluate"]["suite"]
    (tmp_path / "model").mkdir()
    value = recipe(draft(path, output=tmp_path / "r.yaml", model=str(tmp_path / "model")))
    assert value["model"] == "model"


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts(20))])
    drafted = draft(path, output=tmp_path / "r.yaml")
    write(drafted)
    (tmp_path / "r.yaml").write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        write(drafted)
    assert (tmp_path / "r.yaml").read_text() == "mine"
    write(drafted, force=True)
    assert (tmp_path / "r.yaml").read_text() == drafted.text


def test_it_is_a_recipe_as_a_whole(tmp_path: Path) -> None:
    """Read by the experiment as ``datakit run`` reads it, steps and arms included."""
    import importlib.util

    for room in ("pii", "templates", "dedup", "mixing"):
        if importlib.util.find_spec(f"datakit.{room}") is None:
            pytest.skip(f"datakit.{room} is not there yet")
    from datakit.experiment.recipe import read_recipe

    rows = [{"text": f"{text} a@b.org", "label": "ab"[index % 2]} for index, text in enumerate(texts(40))]
    for model in ("pocket", "Qwen/Qwen3-0.6B"):
        drafted = draft(table(tmp_path / "t.csv", rows), output=tmp_path / "r.yaml", model=model)
        write(drafted, force=True)
        assert read_recipe(drafted.path).name == "t"
