"""A plugin package, built and put on the path as pip would: every extension point takes what it brings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GROUPS = {
    "datakit.sources": ("datakit.sources.spec:FORMATS", "bars"),
    "datakit.filters": ("datakit.filters.function:FILTERS", "quiet"),
    "datakit.steps": ("datakit.recipe:STEPS", "shout"),
    "datakit.embedders": ("datakit.dedup.semantic:EMBEDDERS", "letters"),
    "datakit.labellers": ("datakit.labelling.labeller:LABELLERS", "loud"),
    "datakit.exporters": ("datakit.export.formats:EXPORTERS", "bars"),
    "datakit.models": ("datakit.experiment.models:MODELS", "quiet-model"),
    "train.backends": ("train.backends:BACKENDS", "nudge"),
    "train.adapters": ("train.adapters:ADAPTERS", "norms"),
    "train.objectives": ("train.objectives:OBJECTIVES", "first-token"),
    "train.rewards": ("train.backends.rewards:REWARDS", "loudness"),
    "evalkit.suites": ("evalkit.suite:SUITES", "shouting"),
    "evalkit.importers": ("evalkit.importers:IMPORTERS", "tally"),
    "evalkit.models": ("evalkit.models.foreign:MODELS", "louder"),
}

RECIPE = """\
format: 1
name: shouting
data:
  sources:
    said: {path: said.bars, format: bars, columns: {text: text, label: label}}
  steps:
    - filter: {use: quiet}
    - shout: {marks: 2}
    - split: {validation: 0.2, test: 0.2}
    - template: {use: classify, language: en}
model: quiet-model
arms:
  nudged:
    adapter: norms
    objective: first-token
    learning_rate: 0.05
    steps: 3
    batch_size: 4
    backend: {nudge: {momentum: 0.5}}
evaluate: {task: test, suite: shouting}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the plugin; its wheel is built from the source, without a network."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(ROOT / "tests" / "plugin_package", folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=folder / "source", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    path = os.pathsep.join([str(folder / "site"), str(ROOT)])
    cache = str(folder / "cache")
    return {**os.environ, "PYTHONPATH": path, "DATAKIT_CACHE": cache, "HF_HUB_OFFLINE": "1"}


def call(environment: dict[str, str], *arguments: str, folder: Path = ROOT) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "said.bars").write_text(
        "".join(f"it is {'hot' if number % 2 else 'cold'} on day {number} | {number % 2}\n" for number in range(30))
        + "WHAT!! | 1\nthat is it!! | 0\n"
    )
    (tmp_path / "shouting.yaml").write_text(RECIPE)
    return tmp_path


def test_every_group_knows_its_part(installed: dict[str, str]) -> None:
    script = "\n".join(
        [
            "import importlib, json, sys",
            "found = {}",
            "for group, (place, name) in json.loads(sys.argv[1]).items():",
            "    module, _, attribute = place.partition(':')",
            "    registry = getattr(importlib.import_module(module), attribute)",
            "    assert registry.group == group, (registry.group, group)",
            "    assert name in registry.names(), (group, registry.names())",
            "    found[group] = registry.load(name).__module__",
            "print(json.dumps(found))",
        ]
    )
    found = json.loads(call(installed, "-c", script, json.dumps(GROUPS)))
    assert found.keys() == GROUPS.keys()
    assert {module.partition(".")[0] for module in found.values()} == {"shouting"}


def test_a_command_stands_beside_ours(installed: dict[str, str]) -> None:
    assert "datakit-shouting" in call(installed, "-m", "datakit", "--help")
    assert call(installed, "-m", "datakit", "shout", "hello") == "HELLO\n"


@pytest.mark.slow
def test_a_whole_run_on_parts_of_a_plugin(installed: dict[str, str], elsewhere: Path) -> None:
    call(installed, "-m", "datakit", "run", "shouting.yaml", "-o", "out", folder=elsewhere)
    out = elsewhere / "out"
    record = json.loads((out / "models" / "nudged-1" / "train.json").read_text(encoding="utf-8"))
    assert record["arm"]["backend"] == {"nudge": {"momentum": 0.5}}
    assert record["versions"]["shouting"] == "1.0"
    losses = [entry["loss"] for entry in record["history"] if "loss" in entry]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert record["trained_tokens"] == 12, "one token of each of twelve rows"
    assert 0 < record["trainable_parameters"] < record["total_parameters"] // 10
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    (arm,) = report["arms"]
    assert [row["task"] for row in arm["general"]] == ["louder"]
    import pyarrow.parquet as pq

    rows = [row for file in (out / "data").glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    assert len(rows) == 30, "two shouted already"
    assert all("!!" in row["messages"][0]["content"] for row in rows)
