"""A small recipe that runs for real: the pocket model, two arms of a few steps, a few items of its suite."""

from __future__ import annotations

from pathlib import Path

import pytest

RECIPE = """\
format: 1
name: small
seeds: [1]
data:
  sources:
    tickets: {path: tickets.csv, columns: {text: text, label: queue}}
    general: {path: general.jsonl, columns: {text: text}, use: replay}
  steps:
    - pii: {replace: tag}
    - dedup: {on: text, threshold: 0.8}
    - split: {validation: 0.15, test: 0.2, stratify: label, group: customer}
    - template: {use: classify}
model: pocket
arms:
  full: {adapter: full, learning_rate: 1e-3, steps: 6, replay: {from: general, share: 0.2}}
  lora: {adapter: lora, rank: 4, learning_rate: 1e-3, steps: 6}
evaluate: {task: test, suite: pocket, limit: 12}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has an evidence store of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("DATAKIT_CACHE", str(folder))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with tickets, general text and a recipe."""
    from datakit import pocket

    pocket.write_task(tmp_path, seed=3, rows=150)
    pocket.write_general(tmp_path / "general.jsonl", seed=3, rows=30)
    (tmp_path / "small.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path
