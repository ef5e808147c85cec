"""``datakit init`` as it is called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def init(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from datakit.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, "init", *arguments], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = "".join(f"a text about thing number {index},{'yes' if index % 2 else 'no'}\n" for index in range(30))
    (tmp_path / "things.csv").write_text("text,kind\n" + rows)
    return tmp_path


def test_says_what_it_saw_and_what_comes_next(folder: Path) -> None:
    done = init(folder, "things.csv")
    assert done.returncode == 0, done.stderr
    assert "things.csv: csv, 30 rows" in done.stdout
    assert "kind: no 15, yes 15" in done.stdout
    assert "datakit check things.yaml" in done.stdout
    assert (folder / "things.yaml").exists()
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_and_quiet(folder: Path) -> None:
    facts = json.loads(init(folder, "things.csv", "--json").stdout)
    assert facts["taken_as"]["labels"] == ["no", "yes"]
    assert facts["written"] == ["things.yaml"]
    done = init(folder, "things.csv", "--force", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nothing.csv"], 1, "no such file"),
        (["things.csv", "--column", "text"], 2, "OURS=NAME"),
        (["things.csv", "--column", "txet=text"], 2, "Did you mean 'text'"),
        (["things.csv", "--column", "text=nope"], 1, "Columns: text, kind"),
        ([], 2, "Missing argument"),
    ],
)
def test_mistakes_are_one_line(folder: Path, arguments: list[str], code: int, words: str) -> None:
    done = init(folder, *arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.count("\n") == 1


def test_an_existing_recipe_stays(folder: Path) -> None:
    (folder / "things.yaml").write_text("mine")
    done = init(folder, "things.csv")
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert (folder / "things.yaml").read_text() == "mine"
