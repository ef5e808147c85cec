"""Every example in a help page is run as it stands, in a folder with the files the examples name."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from datakit.cli import root
from datakit.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
FINE = {"gate": {0, 3, 4}}  # three verdicts, none of them an error

RECIPE = """\
format: 1
name: support
data:
  sources:
    tickets: {path: tickets.csv, columns: {text: text, label: label}}
  steps:
    - dedup: {on: text, threshold: 0.8}
    - split: {validation: 0.1, test: 0.2, stratify: label, group: customer}
    - template: {use: classify}
model: pocket
arms:
  full: {adapter: full, learning_rate: 1e-3, steps: 6, checkpoints: 1}
  lora: {adapter: lora, rank: 4, learning_rate: 1e-3, steps: 6}
evaluate: {task: test, suite: pocket, limit: 12}
"""

SHOUTING = """\
def shouting(example):
    return "shouting" if example.text.isupper() else None
"""


def examples() -> list[tuple[str, str]]:
    """Command and line; commands whose module is missing have none."""
    found = []
    for name, entry in COMMANDS.items():
        if not (ROOT / "datakit" / "cli" / f"{entry.module}.py").exists():
            continue
        command = root.get_command(click.Context(root), name)
        assert command is not None
        lines = (command.help or "").partition("Examples:\n")[2].splitlines()
        found += [(name, line.strip().removeprefix("$ ")) for line in lines if line.strip().startswith("$ ")]
    return found


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A ``datakit`` on the path that is this one, a cache of its own, and no network."""
    folder = tmp_path_factory.mktemp("environment")
    script = folder / "datakit"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m datakit "$@"\n')
    script.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DATAKIT_CACHE": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
    }


def shell(line: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """tickets.csv, more.csv, mine.py, support.yaml, and the finished run runs/support with the arms full and lora."""
    from datakit import pocket

    if not (pocket.model_path() / "model.safetensors").is_file():
        pytest.skip("the pocket model has no weights yet")
    folder = tmp_path_factory.mktemp("prepared")
    tickets = pocket.write_task(folder, seed=1, rows=200).path
    header, _, rows = tickets.read_text(encoding="utf-8").partition("\n")
    tickets.write_text(header.replace("queue", "label") + "\n" + rows, encoding="utf-8")
    (folder / "support.yaml").write_text(RECIPE)
    (folder / "more.csv").write_text(tickets.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "mine.py").write_text(SHOUTING)
    for line in ("datakit run support.yaml", "datakit build support.yaml -o runs/before --seed 2"):
        done = shell(line, folder, environment)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.xdist_group("examples")
@pytest.mark.parametrize(("command", "line"), examples(), ids=[line for _, line in examples()])
def test_example(command: str, line: str, prepared: Path, environment: dict[str, str]) -> None:
    done = shell(line, prepared, environment)
    assert done.returncode in FINE.get(command, {0}), f"$ {line}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    assert done.stdout.strip(), "an example that prints nothing shows nothing"


def test_there_are_examples_to_run() -> None:
    assert len(examples()) >= len({name for name, _ in examples()}) > 0
