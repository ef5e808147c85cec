"""``datakit eval``: table, JSON, log, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from datakit.cli import main

Result = tuple[int | str | None, str, str]

SUITE = """
format: 1
name: tiny
tasks:
  - metric: acc
    task:
      task: yes_or_no
      dataset_path: json
      dataset_kwargs: {data_files: items.jsonl}
      output_type: multiple_choice
      doc_to_text: q
      doc_to_choice: ["yes", "no"]
      doc_to_target: a
      metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    rows = [{"q": f"{number}?", "a": number % 2} for number in range(10)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tiny.yaml").write_text(SUITE)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as caught:
            main(["eval", *arguments])
        return caught.value.code, *capsys.readouterr()

    return run


def test_table_and_log(run: Callable[..., Result], folder: Path) -> None:
    code, out, err = run("mock:right", "--suite", "tiny.yaml", "-o", "out")
    assert (code, err) == (0, "")
    # Wilson's interval of 10 right out of 10 begins at 10 / (10 + 1.96 squared).
    table = [line.split() for line in out.splitlines()]
    assert ["yes_or_no", "acc", "10", "1.000", "[0.722,", "1.000]"] in table
    assert json.loads((folder / "out" / "tiny.json").read_text())["model"] == "mock:right"
    assert run("mock:right", "--suite", "tiny.yaml", "-o", "out", "--quiet") == (0, "", "")


def test_json_is_all_that_stands_on_stdout(run: Callable[..., Result]) -> None:
    code, out, _ = run("mock:wrong", "--suite", "tiny.yaml", "-o", "out", "--json", "--limit", "4")
    row = json.loads(out)["tasks"][0]
    assert (code, row["items"], row["score"]) == (0, 4, 0.0)


def test_errors_are_one_line(run: Callable[..., Result]) -> None:
    code, out, err = run("nothing/here/at/all", "--suite", "tiny.yaml", "-o", "out")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith("error: no model at")
    assert run("mock", "-o", "out")[0] == 2


def trained(folder: Path, *, like: Path, weights: float, adapter: bool = False) -> Path:
    """A run with a model that differs from pocket by a factor, as far as the nets look."""
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    model = folder / "runs" / "r" / "models" / "full-1"
    shutil.copytree(like, model)
    tensors = load_file(model / "model.safetensors")
    save_file({name: tensor * weights for name, tensor in tensors.items()}, model / "model.safetensors")
    assert isinstance(tensors[next(iter(tensors))], torch.Tensor)
    chat = {"template": "none", "system": "Be brief.", "thinking": False}
    (model / "train.json").write_text(json.dumps({"format": 1, "chat": chat}))
    (model.parents[1] / "manifest.json").write_text(json.dumps({"format": 1, "recipe_folder": "../.."}))
    (model.parents[1] / "recipe.yaml").write_text(
        "format: 1\nmodel: pocket\ndata: {sources: {a: {path: a.csv}}, steps: [split: {test: 0.5}]}\n"
    )
    return model


def test_a_tuned_model_is_checked_against_the_base_of_its_run(run: Callable[..., Result], folder: Path) -> None:
    from datakit import pocket

    model = trained(folder, like=pocket.model_path(), weights=1.0)
    code, _, err = run(str(model), "--suite", "tiny.yaml", "-o", "out")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "has the weights of its base" in err
    # without its run nobody knows the base, but a person may say it
    (model.parents[1] / "manifest.json").unlink()
    assert "has the weights of its base" in run(str(model), "--base", "pocket", "--suite", "tiny.yaml", "-o", "out")[2]


def test_settings_cut_prompts_and_seen_items_are_told(run: Callable[..., Result], folder: Path) -> None:
    from datakit import pocket
    from evalkit.contamination import keep_items
    from evalkit.log import EvalLog

    model = trained(folder, like=pocket.model_path(), weights=1.01)
    long = [{"q": "cat " * 3000, "a": 0}] + [{"q": f"{number}?", "a": 1} for number in range(4)]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in long))
    code, out, err = run(str(model), "--suite", "tiny.yaml", "-o", "first")
    assert (code, err) == (0, "")
    notes = [line for line in out.splitlines() if line.startswith("note ")]
    assert len(notes) == 3
    assert "2 of 10 requests" in notes[0]
    assert "were cut at the beginning" in notes[0]
    assert "chat setting template = 'none' and is evaluated with 'auto'" in notes[1]
    items = EvalLog.read(folder / "first" / "tiny.json").primary()["item_id"].to_pylist()
    keep_items(model.parents[1], {"yes_or_no": set(items[:2]), "other": {"x"}})
    options = ["--template", "none", "--system", "Be brief."]
    code, out, _ = run(str(model), "--suite", "tiny.yaml", "-o", "out", "--json", *options)
    said = json.loads(out)["notes"]
    assert any(
        "'yes_or_no': 2 of 5 items stand in the training data; the score of the others is" in one for one in said
    )
    assert not any("chat setting" in one for one in said)
    # the log carries them on to whoever compares it
    assert any("training data" in note for note in EvalLog.read(folder / "out" / "tiny.json").header.notes)


def test_a_built_test_split_is_a_suite(run: Callable[..., Result], folder: Path) -> None:
    from datakit.core.example import Example, Message, to_table
    from datakit.core.storage import write_table

    turns = (Message("user", "Is it?"), Message("assistant", "yes"))
    row = Example(id="1" * 32, group="1" * 32, source="s", origin="f:1", messages=turns, choices=("yes", "no"))
    write_table(folder / "test.parquet", to_table([row]))
    code, out, _ = run("mock:right", "--suite", "test.parquet", "-o", "out", "--json")
    assert (code, json.loads(out)["tasks"][0]["score"]) == (0, 1.0)


@pytest.mark.parametrize(
    ("suite", "said"),
    [("nowhere.parquet", "no such file"), ("items.jsonl", "holds data"), ("nope", "no suite named")],
)
def test_what_is_no_suite_is_one_line(run: Callable[..., Result], suite: str, said: str) -> None:
    code, _, err = run("mock", "--suite", suite, "-o", "out")
    assert (code, len(err.splitlines())) == (1, 1)
    assert said in err
