"""A run that is killed at any moment goes on with the same command and ends with the same data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def start(project: Path, out: Path) -> subprocess.Popen[bytes]:
    call = [sys.executable, "-m", "datakit", "run", "small.yaml", "-o", str(out), "--quiet"]
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with (project / "output.txt").open("wb") as stream:
        return subprocess.Popen(call, cwd=project, env=environment, stdout=stream, stderr=subprocess.STDOUT)


def content(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for part in ("data", "ledger", "models")
        for path in sorted((out / part).rglob("*"))
        if path.is_file() and path.suffix in {".parquet", ".safetensors"}
    }


@pytest.mark.slow
def test_ten_kills_at_different_moments_end_with_the_same_bytes(project: Path) -> None:
    begun = time.monotonic()
    whole = start(project, project / "whole")
    assert whole.wait(timeout=300) == 0
    length = time.monotonic() - begun
    expected = content(project / "whole")
    assert any(name.startswith("data/train") for name in expected)
    assert any(name.endswith("model.safetensors") for name in expected)

    killed = 0
    for number in range(10):
        process = start(project, project / "killed")
        try:
            # Moments spread over a whole run; later calls start further on, so the last ones may end by themselves.
            process.wait(timeout=length * (number + 1) / 11)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed >= 4
    last = start(project, project / "killed")
    assert last.wait(timeout=300) == 0, (project / "output.txt").read_text(encoding="utf-8")
    assert content(project / "killed") == expected
    left = [path.name for path in (project / "killed").rglob("*.tmp")]
    assert left == [], "what a killed process left is cleared away"
