"""What someone else put into a folder is not written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from datakit.core.errors import UsageError
from datakit.experiment.demo import prepare
from datakit.experiment.run import run


@pytest.mark.parametrize("name", ["manifest.json", "recipe.yaml", "report.html", "evals/base/mine.json", "models/a/x"])
def test_a_run_leaves_files_of_others_alone(project: Path, name: str) -> None:
    theirs = project / "out" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(UsageError, match=rf"out: there is a '{name.split('/')[0]}' that datakit did not write"):
        run(project / "small.yaml", output=project / "out")
    assert [path for path in (project / "out").rglob("*") if path.is_file()] == [theirs]
    assert theirs.read_text() == "mine"


@pytest.mark.parametrize("name", ["demo.yaml", "input/tickets.csv"])
def test_the_demo_leaves_files_of_others_alone(tmp_path: Path, name: str) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("mine")
    with pytest.raises(UsageError, match="that the demo did not write"):
        prepare(tmp_path)
    assert theirs.read_text() == "mine"


def test_a_demo_goes_on_with_any_seed(tmp_path: Path) -> None:
    prepare(tmp_path, seed=1)
    assert "seeds: [12]" in prepare(tmp_path, seed=12).read_text()
    prepare(tmp_path, seed=1)
