"""The example workflow: its commands are ours, with options that exist, and its comment finds report.md's mark."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from datakit.cli import root
from datakit.core.yaml import load_yaml
from evalkit.report.markdown import MARKER

FILE = Path(__file__).resolve().parents[2] / "examples" / "github-workflow.yml"


def runs() -> list[str]:
    steps = load_yaml(FILE).value["jobs"]["regression"]["steps"]
    return [step["run"] for step in steps if "run" in step]


def test_every_datakit_line_is_understood() -> None:
    lines = [line for text in runs() for line in text.splitlines() if line.strip().startswith("datakit ")]
    assert len(lines) == 2
    for line in lines:
        words = shlex.split(re.sub(r"\$\{?\w+\}?", "x", line))
        command = root.get_command(click.Context(root), words[1])
        assert command is not None
        command.make_context(words[1], words[2:], resilient_parsing=False)


def test_the_comment_is_found_by_the_mark() -> None:
    assert any(MARKER in text and "PATCH" in text for text in runs())
