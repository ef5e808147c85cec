"""Steps done by several processes write the bytes that one process writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from datakit.build import build
from datakit.cli import root
from datakit.core import workers as core
from datakit.filters import function, quality

RECIPE = """\
data:
  sources:
    a: {path: a.jsonl}
  steps:
    - pii: {replace: tag}
    - language: {keep: [en]}
    - quality: {use: [gopher, c4]}
    - filter: {use: "mine:check"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module, name, value in ((core, "LEAST", 2000), (function, "_ROWS", 10), (quality, "_BATCH", 40)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.chdir(tmp_path)
    text = "The people of that town have always said that it is a good place to be. They like it with all their heart. "
    rows = []
    for n in range(240):
        own = f"Write to a{n}@example.com or {n}. " + text * (1 + n % 4) + ("{" if n % 5 == 0 else "")
        rows.append("이 문장은 한국어로 쓰여 있습니다 그리고 깁니다. " * 5 if n % 7 == 0 else own)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text("def check(e):\n    return 'three' if len(e.text) % 3 == 0 else None\n")
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path


@pytest.mark.slow
def test_plain_files(folder: Path) -> None:
    for name, options in (("pii", ["--replace", "tag"]), ("filter", ["--keep", "en", "--use", "mine:check"])):
        told = []
        for count in ("1", "2"):
            call = [name, "a.jsonl", "-o", f"{name}{count}.jsonl", "--workers", count, *options, "--json"]
            done = CliRunner().invoke(root, call)
            assert done.exit_code == 0, (done.output, done.exception)
            told.append(json.loads(done.stdout.replace(f"{name}{count}", name)))
        assert told[0] == told[1]
        assert told[0]["changed"] or told[0]["dropped"]
        one, two = (sorted(folder.glob(f"{name}{count}.*")) for count in "12")
        assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


@pytest.mark.slow
def test_builds(folder: Path) -> None:
    found = []
    for count in (1, 2):
        result = build(Path("r.yaml"), output=folder / f"run{count}", workers=count)
        files = sorted(
            file for part in ("data", "ledger", "dropped") for file in (folder / f"run{count}").glob(f"{part}/*")
        )
        found.append([file.read_bytes() for file in files if file.suffix == ".parquet"])
        assert [count.name for count in result.steps if count.dropped] == ["language", "quality", "filter"]
    assert found[0] == found[1]
