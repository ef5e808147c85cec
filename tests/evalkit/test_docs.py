"""The Python in docs/measures.md and docs/report.md runs, on a run folder as the text says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["measures.md", "report.md"])
def test_the_examples_run(name, suite_logs, tmp_path, monkeypatch, capsys):
    for model, log in suite_logs().items():
        log.write(tmp_path / "runs/support/evals" / ("base" if model == "base" else f"{model}-1"))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, name, "exec"), {})
    assert capsys.readouterr().out
