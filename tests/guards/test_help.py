"""The command answers at once: no heavy library is loaded to print help, and printing it takes under 0.25 s."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datakit.cli.commands import COMMANDS, GROUPS

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 0.25
NEVER = ("torch", "transformers", "datasets", "presidio_analyzer", "lm_eval")
NOT_FOR_THE_FIRST_PAGE = (*NEVER, "spacy", "numpy", "pyarrow", "pydantic", "rich", "scipy", "pandas", "jinja2")
NOT_FOR_A_COMMAND = (*NEVER, "spacy", "presidio", "peft", "scipy", "pandas")

REPORT = """
import atexit, json, sys
atexit.register(lambda: sys.stderr.write("\\n" + json.dumps(sorted(name for name in sys.modules if "." not in name))))
from datakit.cli import main
main(sys.argv[1:])
"""


def loaded(*arguments: str) -> tuple[str, set[str]]:
    """What a call printed, and the modules that were loaded when it ended."""
    done = subprocess.run([sys.executable, "-c", REPORT, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


def exists(command: str) -> bool:
    return (ROOT / "datakit" / "cli" / f"{COMMANDS[command].module}.py").exists()


def test_first_page_loads_nothing_heavy() -> None:
    page, modules = loaded("--help")
    assert not modules & set(NOT_FOR_THE_FIRST_PAGE)
    for group in GROUPS:
        assert f"{group}:" in page
    for name, command in COMMANDS.items():
        assert f"  {name} " in page
        assert command.help in page
    assert max(map(len, page.splitlines())) <= 80


def spent() -> float:
    """Processor seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_first_page_is_quick() -> None:
    """Best of several, in seconds on a core of its own: what others do on the same cores is no fault of ours."""
    taken = []
    for _ in range(10):
        wall, processor = time.perf_counter(), spent()
        subprocess.run([sys.executable, "-m", "datakit", "--help"], cwd=ROOT, check=True, capture_output=True)
        taken.append(min(time.perf_counter() - wall, spent() - processor))
        if taken[-1] < LIMIT:
            break
    assert min(taken) < LIMIT, f"best of {len(taken)}: {min(taken):.3f} s"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_loads_nothing_heavy(command: str) -> None:
    if not exists(command):
        pytest.skip(f"datakit/cli/{COMMANDS[command].module}.py is not there yet")
    page, modules = loaded(command, "--help")
    assert not modules & set(NOT_FOR_A_COMMAND)
    assert max(map(len, page.splitlines())) <= 80


def test_every_group_is_used_and_known() -> None:
    assert {command.group for command in COMMANDS.values()} == set(GROUPS)
