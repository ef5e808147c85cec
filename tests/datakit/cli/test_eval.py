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
