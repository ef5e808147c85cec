from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

RECIPE = """\
name: support
data:
  sources: {tickets: {path: tickets.csv, on_bad_row: skip}}
  steps: [split: {stratify: label}]
model: pocket
"""


@pytest.fixture
def project(tmp_path):
    rows = "".join(f"{n},I want [bold] help {n},{['refund', 'cancel'][n % 2]},c{n // 2}\n" for n in range(100))
    (tmp_path / "tickets.csv").write_text("id,text,label,customer\n" + rows + "1,,refund,c\n")
    (tmp_path / "support.yaml").write_text(RECIPE)
    return tmp_path


def datakit(folder, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "datakit", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, **options)


def test_the_table_fits_80_columns_and_the_story_follows(project):
    done = datakit(project, "build", "support.yaml")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["source:tickets", "101", "100", "missing_value", "1", "dropped"]
    assert "data      train 75 · validation 10 · test 15 rows" in lines
    told = datakit(project, "why", "runs/support", "tickets.csv:2")
    assert told.returncode == 0
    assert "tickets · tickets.csv:2" in told.stdout
    assert "label refund" in told.stdout
    assert "[bold]" not in told.stdout
    assert "[bold]" in datakit(project, "why", "runs/support", "tickets.csv:2", "--raw").stdout
    story = json.loads(datakit(project, "why", "runs/support", "tickets.csv:102", "--json").stdout)
    assert story["split"] is None
    assert story["lines"][0]["reason"] == "missing_value"


def test_json_and_quiet(project):
    done = datakit(project, "build", "support.yaml", "-o", "out", "--json")
    counts = json.loads(done.stdout)
    assert sum(counts["splits"].values()) == 100
    assert counts["steps"][0]["dropped"] == {"missing_value": 1}
    assert datakit(project, "build", "support.yaml", "-o", "out", "--quiet").stdout == ""


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (("tickets.csv", "tikets.csv"), 1, "did you mean 'tickets.csv'"),
        (("skip", "fail"), 1, "tickets.csv:102: no text in column 'text'"),
        (("stratify: label", "stratify: lable"), 1, "Did you mean 'label'"),
        (("model: pocket", "modle: pocket"), 1, "support.yaml:5: modle: unknown key"),
    ],
)
def test_errors_are_one_line(project, change, code, words):
    (project / "support.yaml").write_text(RECIPE.replace(*change))
    done = datakit(project, "build", "support.yaml", "-o", "out")
    assert done.returncode == code
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (project / "out" / "data").exists()


def test_usage_errors(project):
    assert datakit(project, "build", "none.yaml").returncode == 1
    assert datakit(project, "why", "nowhere", "x").returncode == 1
    assert "datakit init FILE" in datakit(project, "build", "nowhere.yaml").stderr
    assert datakit(project, "build", "support.yaml", "-o", "out").returncode == 0
    assert datakit(project, "why", "out", "zzz").returncode == 2
