"""A killed evaluation goes on with the items it lacks; two processes share one store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.evaluate import Session
from evalkit.journal import Journal

SCRIPT = """
import sys, time
from evalkit.evaluate import Session
from evalkit.models import mock, resuming

folder, suite, pause, said = sys.argv[1:]
resuming._FIRST = 4
answer = mock.MockModel.loglikelihood

def slow(self, requests):
    with open(said, "a") as stream:
        stream.write("".join(f"{request.args}\\n" for request in requests))
    time.sleep(float(pause))
    return answer(self, requests)

mock.MockModel.loglikelihood = slow
resuming.Resuming.__init__.__kwdefaults__["portion"] = 4
log = Session(folder).evaluate(suite)
print(log.header.recorded["stored"], flush=True)
"""


def start(suite: Path, said: Path, *, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, "mock", str(suite), str(pause), str(said)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3], env={**os.environ}
    )


def choice_only(suite: Path) -> Path:
    path = suite.parent / "one.yaml"
    path.write_text("format: 1\nname: one\ntasks:\n  - {task: choice.yaml}\n")
    return path


def test_a_killed_evaluation_goes_on_with_what_it_lacks(suite_file: Path, cache: Path, tmp_path: Path) -> None:
    suite, said = choice_only(suite_file), tmp_path / "asked"
    process = start(suite, said, pause=0.3)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        partial = list(cache.rglob("partial.jsonl"))
        if partial and partial[0].read_bytes().count(b"\n") >= 12:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    answered = {json.loads(line)["request"] for line in partial[0].read_bytes().splitlines()}
    with partial[0].open("ab") as stream:
        stream.write(b'{"request": "half a li')
    assert len(answered) >= 12
    said.unlink()
    second = start(suite, said, pause=0)
    out, _ = second.communicate(timeout=120)
    assert out.strip() == "0"
    asked = said.read_text().splitlines()
    assert asked
    assert len(asked) + len(answered) == sum(2 + number % 3 for number in range(40))
    assert not list(cache.rglob("partial.jsonl"))
    whole = Session("mock").evaluate(suite)
    assert whole.header.recorded["stored"] == 1
    assert whole.items == Session("mock").evaluate(suite, store=False).items


def test_two_processes_do_the_work_once(suite_file: Path, tmp_path: Path) -> None:
    suite, said = choice_only(suite_file), tmp_path / "asked"
    both = [start(suite, said, pause=0.05) for _ in range(2)]
    outs = [process.communicate(timeout=180)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(said.read_text().splitlines()) == sum(2 + number % 3 for number in range(40))
    assert set(outs) <= {"0", "1"}


def test_a_journal_gives_back_what_it_was_given(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "k")
    records = [
        {"request": f"r{at}", "value": [-1.5 * at, at % 2 == 0], "n_tokens": at, "finished": True} for at in range(5)
    ]
    journal.append(records[:2])
    journal.append(records[2:])
    assert list(Journal(tmp_path / "k").known.values()) == records
    assert journal.path.stat().st_mode & 0o777 == 0o600
    text = journal.path.read_bytes()
    journal.path.write_bytes(text[:-9])
    broken = Journal(tmp_path / "k")
    assert list(broken.known.values()) == records[:4]
    broken.append(records[4:])
    assert list(Journal(tmp_path / "k").known.values()) == records
    journal.drop()
    assert Journal(tmp_path / "k").known == {}


@pytest.mark.parametrize("portion", [1, 7, 1000])
def test_portions_change_nothing(
    portion: int, model_folder: Path, suite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalkit.models.resuming import Resuming

    expected = Session(model_folder).evaluate(suite_file, store=False)
    made: Callable[..., None] = Resuming.__init__

    def small(self: Resuming, inner: object, journal: Journal) -> None:
        made(self, inner, journal, portion=portion)

    monkeypatch.setattr(Resuming, "__init__", small)
    found = Session(model_folder).evaluate(suite_file)
    for one, other in zip(found.items.to_pylist(), expected.items.to_pylist(), strict=True):
        close = {
            key: pytest.approx(value, abs=1e-4) if isinstance(value, float | list) else value
            for key, value in other.items()
        }
        assert one == close
    for name, task in expected.header.recorded["tasks"].items():
        assert found.header.recorded["tasks"][name]["cut_contexts"] == task["cut_contexts"]
