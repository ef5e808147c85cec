"""Two runs beside one another: every difference is named, with the reason the ledger has, and nothing else is."""

from __future__ import annotations

import json

import pytest

from datakit.build import build
from datakit.core.errors import StorageError
from datakit.diff import Change, difference
from datakit.ledger import story

RECIPE = """\
format: 1
data:
  sources:
    notes: {path: notes.jsonl, columns: {text: text, label: label}}
  steps:
    - dedup: {threshold: 1.0}
    - filter: {use: 'mine:check', options: {most: MOST}}
    - split: {test: 0.2, stratify: label}
model: pocket
"""


def write(folder, rows):
    (folder / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def project(tmp_path):
    rows = [{"text": f"a note with number {n}", "label": "ab"[n % 2]} for n in range(60)]
    write(tmp_path, [*rows, rows[0]])
    (tmp_path / "mine.py").write_text(
        "def check(e, most):\n    return 'too_high' if int(e.text.split()[-1]) > most else None\n"
    )
    return tmp_path


def built(project, name, most=50, seed=0):
    path = project / "notes.yaml"
    path.write_text(RECIPE.replace("MOST", str(most)))
    build(path, output=project / name, seed=seed)
    return project / name


def test_the_same_recipe_twice(project):
    found = difference(built(project, "one"), built(project, "two"))
    assert found.same
    assert found.rows.both == 51


def test_a_parameter_and_the_rows_it_costs(project):
    found = difference(built(project, "one", most=50), built(project, "two", most=40))
    assert found.recipe == (Change("data.steps.filter.options.most", 50, 40),)
    assert [step.step for step in found.steps] == ["filter", "split"]
    assert (found.rows.before, found.rows.after, found.rows.both) == (51, 41, 41)
    assert found.rows.only_before == {"filter: too_high": 10}
    assert not found.rows.only_after
    assert not found.sources
    back = difference(project / "two", project / "one")
    assert back.rows.only_after == found.rows.only_before


def test_another_seed_moves_rows_and_drops_none(project):
    found = difference(built(project, "one"), built(project, "two", seed=1))
    assert not found.rows.only_before
    assert not found.rows.only_after
    one, two = project / "one", project / "two"
    origins = [f"notes.jsonl:{n}" for n in range(1, 52)]
    moved = sum(story(one, origin).split != story(two, origin).split for origin in origins)
    assert found.rows.moved == moved > 0
    assert found.rows.changed == found.rows.relabelled == 0


def test_sources_rows_labels_and_what_is_not_there(project):
    one = built(project, "one")
    rows = [json.loads(line) for line in (project / "notes.jsonl").read_text().splitlines()]
    rows[3]["label"] = "c"
    write(project, [*rows, {"text": "a note with number 7 too 7", "label": "a"}])
    found = difference(one, built(project, "two"))
    assert [change.place for change in found.sources] == ["notes"]
    assert (found.sources[0].before["rows"], found.sources[0].after["rows"]) == (61, 62)
    # the id of a row comes from its content: a row with another label is another row
    assert found.rows.only_before == {"not in its sources": 1}
    assert found.rows.only_after == {"not in its sources": 2}
    assert len(found.rows.examples["only_after"]) == 2


def test_results_of_reports_are_compared(project):
    one, two = built(project, "one"), built(project, "two")
    arm = {"label": "lora", "gain": None, "suite_mean": {"difference": -0.01}, "gate": {"status": "pass"}}
    row = {"task": "sums", "difference": -0.004, "verdict": "held"}
    (one / "report.json").write_text(json.dumps({"format": 1, "arms": [{**arm, "general": [row]}]}))
    worse = {**row, "difference": -0.2, "verdict": "regressed"}
    (two / "report.json").write_text(json.dumps({"format": 1, "arms": [{**arm, "general": [worse]}]}))
    assert difference(one, two).results == (Change("lora: sums", "-0.4 held", "-20.0 regressed"),)


def test_a_folder_that_is_no_run(project, tmp_path):
    with pytest.raises(StorageError, match="no such file"):
        difference(tmp_path, built(project, "one"))
