"""Trainings that are killed and called again: how they end, what they leave, and what two of them have in common."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from datakit.core.storage import read_json

__all__ = ["Killed", "facts", "flipped", "killed_at", "logged_steps", "only", "start_training", "states", "weights"]

_COMMAND = "from datakit.cli import main; main()"


class Killed(BaseException):
    """In the place of kill -9: nothing of ours catches it."""


def killed_at(step, *, whole_step=False):
    """Ends the process' work at a step, before or after its validation."""

    def progress(event):
        if type(event).__name__ == ("Validated" if whole_step else "StepDone") and event.step == step:
            raise Killed

    return progress


def weights(folder):
    """File name to bytes."""
    return {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}


def facts(folder):
    """All that train.json says, but for what a clock measured."""
    left = ("seconds", "tokens_per_second", "trained_tokens_per_second")
    return {key: value for key, value in read_json(folder / "train.json").items() if key not in left}


def states(output):
    """Names of the saved states of a training that has not ended."""
    folder = output.with_name(f".{output.name}.state")
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def only(events, kind):
    """The events of a kind."""
    return [event for event in events if isinstance(event, kind)]


def flipped(file):
    """Turns one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def start_training(*arguments, folder=None):
    """``datakit train`` in a process of its own, on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _COMMAND, "train", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


def logged_steps(log):
    """The last step that a log tells of, whole lines alone."""
    if not log.is_file():
        return 0
    entries = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return max((entry["step"] for entry in entries if entry["event"] == "stepdone"), default=0)
