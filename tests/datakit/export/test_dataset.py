from __future__ import annotations

import re

import pyarrow.parquet as pq
import pytest

from datakit.build import build
from datakit.core.example import SCHEMA, Example, Message, from_table, to_table
from datakit.core.yaml import load_yaml
from datakit.export import CardFacts, CardSource, CardStep, data_card, write_dataset
from datakit.recipe import DataRecipe

datasets = pytest.importorskip("datasets")


def examples(count, start=0):
    return to_table(
        Example(
            id=f"{n:032x}",
            group=f"{n:032x}",
            source="s",
            origin=f"a.csv:{n}",
            messages=(Message("user", f"q{n}"), Message("assistant", "네\u0000 | ok")),
            label="ab"[n % 2],
            choices=("a", "b"),
            fields={"n": n},
        )
        for n in range(start, start + count)
    )


def facts(**options):
    steps = [CardStep("source:s", 9, 8, "bad_json 1 dropped"), CardStep("split", 8, 8, "")]
    return CardFacts(
        name="My: data #1", sources=[CardSource("s", "train", ["a.csv"], rows=9, private=False)], steps=steps, **options
    )


def loaded(folder, tmp_path):
    datasets.disable_progress_bars()
    return datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))


def test_what_is_written_is_what_load_dataset_gives(tmp_path, caplog):
    splits = {"train": examples(6), "validation": examples(0), "test": examples(2, 6)}
    folder = tmp_path / "data"
    replay = write_dataset(
        folder, splits, replay={"books": examples(3, 20)}, card=lambda *written: data_card(facts(), *written)
    )
    found = loaded(folder, tmp_path)
    assert found.num_rows == {"train": 6, "test": 2}
    assert found["train"].column_names == SCHEMA.names
    assert found["test"][0]["messages"] == [
        {"role": "user", "content": "q6"},
        {"role": "assistant", "content": "네\u0000 | ok"},
    ]
    assert found["test"][0]["choices"] == ["a", "b"]
    assert found["train"][0]["rejected"] is None
    assert pq.read_table(replay["books"]).num_rows == 3
    assert "Ignoring" not in caplog.text
    back = list(from_table(pq.read_table(folder / "train-00000-of-00001.parquet")))
    assert back == list(from_table(splits["train"]))


def test_the_header_is_yaml_and_says_what_is_there(tmp_path):
    splits = {"train": examples(6), "test": examples(2, 6)}
    card = data_card(
        facts(license="cc-by-4.0", language=["ko", "en"], replay={"books": 3}), splits, {"train": 5, "test": 6}
    )
    (tmp_path / "header.yaml").write_text(card.split("---\n")[1])
    header = load_yaml(tmp_path / "header.yaml").value
    assert header["license"] == "cc-by-4.0"
    assert header["language"] == ["ko", "en"]
    assert header["pretty_name"] == "My: data #1"
    assert header["configs"] == [
        {
            "config_name": "default",
            "data_files": [{"split": "train", "path": "train-*.parquet"}, {"split": "test", "path": "test-*.parquet"}],
        }
    ]
    assert [split["num_examples"] for split in header["dataset_info"]["splits"]] == [6, 2]
    assert "| source:s | 9 | 8 | bad_json 1 dropped |" in card
    assert "| a | 3 (50.0 %) | 1 (50.0 %) |" in card
    assert "No step looked for personal data." in card
    assert "replay/books.parquet" in card


def test_personal_data_is_told_by_the_step_that_looked(tmp_path):
    notes = [("pii", "names were not looked for"), ("dedup", "a [note]")]
    card = data_card(facts(has_pii=True, notes=notes), {"train": examples(1)}, {"train": 1})
    part = card.split("## Personal data")[1].split("##")[0]
    assert "names were not looked for" in part
    assert "dedup: a \\[note\\]" in card


def test_labels_from_outside_are_no_markup(tmp_path):
    rows = [Example(id="1", group="1", source="s", origin="a:1", text="t", label="<script>|x|\n# no")]
    card = data_card(facts(), {"train": to_table(rows)}, {"train": 1})
    assert re.search(r"^\| \\<script\\>\\\|x\\\| \\# no \| 1 \(100\.0 %\) \|$", card, re.MULTILINE)
    assert "<script>" not in card


def test_a_built_folder_loads(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"t{n},{'ab'[n % 2]}\n" for n in range(40)))
    plan = {
        "sources": {"t": {"path": "t.csv"}, "more": {"path": "t.csv", "use": "text"}},
        "steps": [{"split": {"validation": 0, "stratify": "label"}}],
        "language": "en",
    }
    result = build(DataRecipe.model_validate(plan), output=tmp_path / "run", folder=tmp_path)
    assert loaded(result.folder, tmp_path).num_rows == {"train": 34, "test": 6}
    assert result.splits == {"train": 34, "test": 6}
