from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import datakit
from datakit.build import build
from datakit.core.errors import NewerFormat, SourceError, StepError, UsageError
from datakit.core.example import SCHEMA, derived_id
from datakit.core.step import Params, StepOutput, entry, ledger_table
from datakit.recipe import STEPS, DataRecipe

RECIPE = """\
format: 1
name: tickets
seeds: [7]
data:
  sources:
    tickets: {path: tickets.jsonl, labels: {column: label}, on_bad_row: skip, private: true}
    books: {path: books.txt, use: replay}
  steps:
    - filter: {use: "mine:check"}
    - split: {validation: 0.1, test: 0.15, stratify: label, group: customer}
model: pocket
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    lines = [json.dumps({"text": f"ticket number {n}", "label": "abc"[n % 3], "customer": n // 2}) for n in range(400)]
    lines[10] = "broken secret@example.com"
    (folder / "tickets.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "books.txt").write_text("".join(f"Sentence {n} of a book.\n" for n in range(50)))
    (folder / "mine.py").write_text("def check(e):\n    return 'seven' if (e.text or '').endswith('7') else None\n")
    (folder / "support.yaml").write_text(RECIPE)
    return folder


def contents(run: Path) -> dict[str, bytes]:
    files = [*run.glob("data/**/*"), *run.glob("dropped/*"), *run.glob("ledger/*"), run / "manifest.json"]
    return {file.relative_to(run).as_posix(): file.read_bytes() for file in files if file.is_file()}


def test_counts_balance_and_files_stand_where_they_belong(project, tmp_path):
    seen = []
    result = build(project / "support.yaml", output=tmp_path / "run", progress=seen.append)
    assert [count.name for count in result.steps] == ["source:tickets", "source:books", "filter", "split"]
    assert seen == result.steps
    for count in result.steps:
        assert count.rows_in + count.created == count.rows_out + sum(count.dropped.values())
    assert result.steps[0].dropped == {"bad_json": 1}
    kept = sum(not f"ticket number {n}".endswith("7") for n in range(400) if n != 10)
    assert sum(result.splits.values()) == result.rows == kept
    assert result.labels == {"tickets": ("a", "b", "c")}
    files = sorted(
        path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*") if path.is_file()
    )
    assert [file for file in files if not file.startswith("private/cache")] == [
        "data/README.md",
        "data/replay/books.parquet",
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
        "dropped/01-filter.parquet",
        "ledger/00-sources.parquet",
        "ledger/01-filter.parquet",
        "ledger/02-split.parquet",
        "manifest.json",
        "private/bad_rows-tickets.jsonl",
        "recipe.yaml",
    ]
    assert pq.read_schema(result.folder / "train-00000-of-00001.parquet") == SCHEMA
    assert pq.read_table(result.replay["books"]).num_rows == 50
    assert (tmp_path / "run" / "recipe.yaml").read_text() == RECIPE


def test_what_is_private_stays_private(project, tmp_path):
    build(project / "support.yaml", output=tmp_path / "run")
    private = tmp_path / "run" / "private"
    assert {path.stat().st_mode & 0o777 for path in private.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (private, private / "cache")} == {0o700}
    found = [name for name, data in contents(tmp_path / "run").items() if b"secret@example.com" in data]
    assert found == []
    assert "secret@example.com" in (private / "bad_rows-tickets.jsonl").read_text()


def test_two_builds_are_byte_identical_wherever_the_project_lies(project, tmp_path):
    build(project / "support.yaml", output=tmp_path / "one")
    moved = tmp_path / "elsewhere" / "deep"
    moved.parent.mkdir()
    project.rename(moved)
    build(moved / "support.yaml", output=tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    build(moved / "support.yaml", output=tmp_path / "three", seed=8)
    assert (
        contents(tmp_path / "one")["data/test-00000-of-00001.parquet"]
        != contents(tmp_path / "three")["data/test-00000-of-00001.parquet"]
    )


KILLER = """
import os, pathlib, signal, sys
left = int(sys.argv[3])
def counted(old):
    def new(*args):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return old(*args)
    return new
pathlib.Path.replace = counted(pathlib.Path.replace)
pathlib.Path.rename = counted(pathlib.Path.rename)
from datakit.build import build
build(sys.argv[1], output=pathlib.Path(sys.argv[2]))
print(left)
"""


def killed_at(number: int, recipe: Path, run: Path) -> subprocess.CompletedProcess[str]:
    """Runs a build that dies by SIGKILL just before its ``number``-th file or folder takes its name."""
    environment = {**os.environ, "PYTHONPATH": str(Path(datakit.__file__).parents[1])}
    command = [sys.executable, "-c", KILLER, str(recipe), str(run), str(number)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_a_build_killed_anywhere_ends_with_the_same_bytes(project, tmp_path):
    build(project / "support.yaml", output=tmp_path / "whole")
    done = killed_at(1_000, project / "support.yaml", tmp_path / "counted")
    renames = 1_000 - int(done.stdout)
    assert renames > 15
    for number in sorted({1, 4, renames // 2, renames - 3, renames - 1, renames}):
        run = tmp_path / f"killed-{number}"
        assert killed_at(number, project / "support.yaml", run).returncode == -signal.SIGKILL
        build(project / "support.yaml", output=run)
        assert contents(run) == contents(tmp_path / "whole")
        assert [path for path in run.rglob(".*")] == []


def test_a_finished_build_killed_while_it_is_built_again(project, tmp_path):
    run = tmp_path / "run"
    build(project / "support.yaml", output=run)
    (project / "mine.py").write_text("def check(e):\n    return None\n")
    for number in (3, 6, 9):
        killed_at(number, project / "support.yaml", run)
    build(project / "support.yaml", output=run)
    build(project / "support.yaml", output=tmp_path / "fresh")
    assert contents(run) == contents(tmp_path / "fresh")


def test_finished_steps_are_not_done_again(project, tmp_path):
    build(project / "support.yaml", output=tmp_path / "run")
    before = contents(tmp_path / "run")
    cached = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "private" / "cache").iterdir()}
    build(project / "support.yaml", output=tmp_path / "run")
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "private" / "cache").iterdir()} == cached
    assert contents(tmp_path / "run") == before
    (project / "tickets.jsonl").write_text('{"text": "new", "label": "a", "customer": 1}\n' * 100)
    with pytest.raises(StepError, match="would be empty"):
        build(project / "support.yaml", output=tmp_path / "run")
    assert contents(tmp_path / "run") == before


def test_a_damaged_result_of_a_step_is_made_again(project, tmp_path):
    build(project / "support.yaml", output=tmp_path / "run")
    before = contents(tmp_path / "run")
    for path in (tmp_path / "run" / "private" / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    build(project / "support.yaml", output=tmp_path / "run")
    assert contents(tmp_path / "run") == before


class _Mark:
    """A row step: renders, makes one more row, or breaks a rule, as its parameter says."""

    name, version, kind = "mark", 1, "row"

    class Params(Params):
        mode: str = "good"

    def __init__(self, params, context):
        self.params, self.context = params, context

    def fingerprint(self):
        return ""

    def notes(self):
        return ["marked | with <care>"]

    def apply(self, table):
        if self.params.mode == "loses":
            return StepOutput(table.slice(1), ledger_table([]))
        if self.params.mode == "all":
            lines = [entry("mark", row, "dropped", "all") for row in table["id"].to_pylist()]
            return StepOutput(table.slice(0, 0), ledger_table(lines))
        if self.params.mode == "column":
            return StepOutput(table.drop_columns(["label"]), ledger_table([]))
        first = table.slice(0, 1).to_pylist()[0]
        made = {**first, "id": derived_id(first["id"], "mark", 1), "parent": first["id"], "template": "m"}
        out = pa.concat_tables([table, pa.Table.from_pylist([made], schema=table.schema)])
        lines = [
            entry("mark", first["id"], "changed", "seen"),
            entry("mark", made["id"], "created", "copied", parent=first["id"]),
        ]
        return StepOutput(out, ledger_table(lines))


@pytest.fixture
def mark(monkeypatch, tmp_path):
    module = type(sys)("a_module_with_a_step")
    module.MarkStep = _Mark
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(STEPS.builtin, "mark", f"{module.__name__}:MarkStep")


def recipe_with(*steps, **source):
    tickets = {"path": "tickets.jsonl", "on_bad_row": "skip", **source}
    return DataRecipe.model_validate({"sources": {"tickets": tickets}, "steps": list(steps)})


def test_created_rows_count_and_stay_with_their_root(project, tmp_path, mark):
    result = build(recipe_with({"mark": {}}, {"split": {}}), output=tmp_path / "run", folder=project)
    assert result.steps[1] == ("mark", 399, 400, {}, {"seen": 1}, 1)
    assert result.notes == [("mark", "marked | with <care>")]
    card = (result.folder / "README.md").read_text()
    assert r"marked \| with \<care\>" in card
    again = build(recipe_with({"mark": {}}, {"split": {}}), output=tmp_path / "run", folder=project)
    assert again == result


@pytest.mark.parametrize(
    ("mode", "words"),
    [("loses", "does not balance: 399 in"), ("all", "leaves no row of 399"), ("column", "lost the columns label")],
)
def test_a_step_that_breaks_the_rules_is_an_error(project, tmp_path, mark, mode, words):
    with pytest.raises(StepError, match=words):
        build(recipe_with({"mark": {"mode": mode}}), output=tmp_path / "run", folder=project)
    assert not (tmp_path / "run" / "data").exists()


def test_without_split_everything_is_train(project, tmp_path):
    result = datakit.build(recipe_with(), output=tmp_path / "run", folder=project)
    assert result.splits == {"train": 399}


def test_a_column_that_is_not_there_is_found_before_the_first_step(project, tmp_path, mark):
    recipe = recipe_with({"mark": {"mode": "loses"}}, {"split": {"group": "custmer"}})
    with pytest.raises(StepError, match=r"split: no column 'custmer' in the rows\. Did you mean 'customer'"):
        build(recipe, output=tmp_path / "run", folder=project)


def test_rows_without_text_or_messages(project, tmp_path):
    (project / "tickets.jsonl").write_text('{"body": "a"}\n')
    with pytest.raises(StepError, match=r"tickets\.jsonl:1: 1 rows have neither text nor messages"):
        build(recipe_with(), output=tmp_path / "run", folder=project)


def test_a_failed_build_leaves_no_half_dataset(project, tmp_path):
    (project / "support.yaml").write_text(RECIPE.replace("on_bad_row: skip", "on_bad_row: fail"))
    with pytest.raises(SourceError, match=r"tickets\.jsonl:11: not valid JSON"):
        build(project / "support.yaml", output=tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["private"]


def test_folders_of_others_and_newer_runs_are_left_alone(project, tmp_path):
    (project / "data").mkdir()
    (project / "data" / "precious.csv").write_text("x")
    with pytest.raises(UsageError, match="'data' that datakit did not write"):
        build(project / "support.yaml", output=project)
    assert (project / "data" / "precious.csv").exists()
    assert not (project / "private").exists()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "manifest.json").write_text('{"format": 2}')
    with pytest.raises(NewerFormat, match=r"manifest\.json: written in format 2"):
        build(project / "support.yaml", output=tmp_path / "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        build(project / "support.yaml", output=tmp_path / "file")


def test_the_manifest_keeps_what_others_wrote_and_no_machine_path(project, tmp_path, monkeypatch):
    monkeypatch.setenv("TICKETS", str(project))
    (project / "support.yaml").write_text(RECIPE.replace("tickets.jsonl", '"${TICKETS:-x}/tickets.jsonl"'))
    build(project / "support.yaml", output=tmp_path / "run")
    path = tmp_path / "run" / "manifest.json"
    manifest = json.loads(path.read_text())
    assert str(tmp_path) not in path.read_text()
    assert manifest["data"]["recipe"]["sources"]["tickets"]["path"] == "${TICKETS:-x}/tickets.jsonl"
    path.write_text(json.dumps({**manifest, "arms": {"lora": 1}}))
    build(project / "support.yaml", output=tmp_path / "run")
    assert json.loads(path.read_text()) == {**manifest, "arms": {"lora": 1}}


FULL_DISK = """
mount -t tmpfs -o size=24k none "$3" || exit 99
"$1" -m datakit build "$2" -o "$3/run" --quiet
echo "exit $?"
find "$3" -name "*.tmp" -o -name data -o -name manifest.json
mount -o remount,size=4m "$3"
"$1" -m datakit build "$2" -o "$3/run" --quiet && cp -r "$3/run" "$4"
"""


def test_a_full_disk_is_exit_7_and_the_build_goes_on_later(project, tmp_path):
    """In a mount namespace of its own, which is gone with the process."""
    (tmp_path / "small").mkdir()
    places = [sys.executable, project / "support.yaml", tmp_path / "small", tmp_path / "later"]
    command = ["unshare", "--mount", "sh", "-c", FULL_DISK, "sh", *map(str, places)]
    environment = {**os.environ, "PYTHONPATH": str(Path(datakit.__file__).parents[1])}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("a small file system cannot be mounted here")
    assert done.stdout == "exit 7\n"
    assert done.stderr.startswith("error: ")
    assert "no space left on the disk" in done.stderr
    assert done.stderr.count("\n") == 1
    build(project / "support.yaml", output=tmp_path / "roomy")
    assert contents(tmp_path / "later") == contents(tmp_path / "roomy")
