"""The file of answers: claims, money, two processes, kills."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datakit.core.errors import NewerFormat, StorageError
from datakit.labelling.store import Answer, AnswerStore

ROOT = Path(__file__).resolve().parents[3]

# Imports once and forks for each line of its input: a start takes no second.
WORKER = """
import os, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {here!r}]
import openai
from conftest import rows
from datakit.labelling.labeller import Labeller
from datakit.labelling.models import ModelSpec
from datakit.labelling.plan import prepare
from datakit.labelling.prices import read_prices
from datakit.labelling.run import execute
from datakit.labelling.spending import Limits
from datakit.labelling.store import AnswerStore
spam = Labeller(name="spam", kind="classify", instruction="Is it spam?", options=["ham", "spam"])
spec = ModelSpec(model="stub", server={url!r}, concurrency=8, price={{"input": 1.0, "output": 2.0}})
table = rows({count})
openai.AsyncOpenAI(api_key="none").chat.completions
def work():
    with AnswerStore(Path({store!r})) as store:
        plan = prepare(table, spam, [spec], store=store, prices=read_prices(), redact=None)
        execute(plan, store, Limits("job", 1.0))
        print("answers", len(plan.answers), flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    print("child", child, flush=True)
    if line.strip() == "wait":
        os.waitpid(child, 0)
"""


class Workers:
    """Processes that label the same rows with the same file of answers."""

    def __init__(self, stub, path, count):
        here = str(Path(__file__).parent)
        code = WORKER.format(root=str(ROOT), here=here, url=stub.url, store=str(path), count=count)
        pipe = subprocess.PIPE
        self.parent = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)

    def start(self, word="go"):
        self.parent.stdin.write(f"{word}\n")
        self.parent.stdin.flush()
        return int(self.read("child"))

    def read(self, word):
        for line in self.parent.stdout:
            if line.startswith(word):
                return line.split()[1]
        raise AssertionError("a worker failed")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.parent.stdin.close()
        self.parent.stdout.close()
        self.parent.wait(timeout=30)


def test_two_processes_share_the_work_and_the_money(stub, tmp_path):
    stub.latency = 0.02
    path = tmp_path / "answers.sqlite"
    with Workers(stub, path, 150) as workers:
        workers.start()
        workers.start()
        assert [workers.read("answers") for _ in range(2)] == ["150", "150"]
    assert len(stub.finished) == len(set(stub.finished)) == 150
    with AnswerStore(path) as store:
        assert store.spent("job") == (pytest.approx(150 * 30e-6), 150)


@pytest.mark.slow
def test_twenty_kills_cost_at_most_the_calls_in_flight(stub, tmp_path):
    stub.latency = 0.05
    path, count, generator = tmp_path / "answers.sqlite", 1200, random.Random(7)
    kills = 0
    with Workers(stub, path, count) as workers:
        for _ in range(20):
            before, child = stub.calls, workers.start()
            until = time.monotonic() + 10
            while stub.calls == before and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(generator.uniform(0.0, 0.3))
            kills += 0 < len(set(stub.finished)) < count
            os.kill(child, signal.SIGKILL)
        until = time.monotonic() + 5
        while stub.now and time.monotonic() < until:
            time.sleep(0.05)
        workers.start("wait")
        assert workers.read("answers") == str(count)
    assert kills >= 15
    assert len(set(stub.finished)) == count
    assert len(stub.finished) - count <= 20 * 8  # eight at once
    with AnswerStore(path) as store:
        spent, calls = store.spent("job")
    assert count <= calls <= count + 20 * 8
    assert spent >= count * 30e-6


def test_a_claim_of_a_process_that_is_gone_is_free(tmp_path):
    path = tmp_path / "a.sqlite"
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path\n"
        "from datakit.labelling.store import AnswerStore\n"
        f"s = AnswerStore(Path({str(path)!r}))\n"
        "print(s.claim('k', job='j', worst=0.5, budget=1, seconds=600), flush=True)\n"
        "sys.stdin.readline()\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline().strip() == "mine"
    with AnswerStore(path) as store:
        assert store.claim("k", job="j", worst=0.5, budget=1, seconds=9) == "theirs"
        other.kill()
        other.communicate()
        assert store.claim("k", job="j", worst=0.5, budget=1, seconds=9) == "mine"
        # Nobody knows what the killed call cost: it counts at its worst.
        assert store.spent("j") == (1.0, 2)
        store.finish("k", Answer("m", "x"), job="j", worst=0.5, cost=0.1)
        assert store.spent("j") == (pytest.approx(0.6), 2)
        assert store.claim("k", job="j", worst=0.1, budget=1, seconds=9) == "done"
        assert store.claim("l", job="j", worst=0.5, budget=1, seconds=9) == "no_money"
        assert store.claim("l", job="other", worst=0.5, budget=1, seconds=9) == "mine"
        store.settle("l", job="other", worst=0.5, cost=0)
        assert store.spent("other") == (0.0, 1)


def test_a_claim_past_its_time_is_free(tmp_path):
    with AnswerStore(tmp_path / "a.sqlite") as store:
        row = ("k", "j", "another-host", 1, time.time() + 60)
        store._file._db.execute("INSERT INTO claims VALUES (?, ?, ?, ?, ?)", row)
        assert store.claim("k", job="j", worst=0, budget=None, seconds=9) == "theirs"
        store._file._db.execute("UPDATE claims SET until = ?", (time.time() - 1,))
        assert store.claim("k", job="j", worst=0, budget=None, seconds=9) == "mine"


def test_answers_come_back_as_they_were(tmp_path):
    answers = {
        "a": Answer("m", 'a "quoted" 답', True, "stop", None, 3, 4, 0.5),
        "b": Answer("m", None, probabilities={"ham": 0.25, "스팸": 0.75}),
    }
    with AnswerStore(tmp_path / "a.sqlite") as store:
        store.put(answers)
        store.put_marks({"k": [("EMAIL", 1, 5)]})
        store.note_server("s", {"mode": "words"})
    with AnswerStore(tmp_path / "a.sqlite") as store:
        assert store.get(["a", "b", "c"]) == answers
        assert store.marks(["k", "l"]) == {"k": [("EMAIL", 1, 5)]}
        assert (store.server_facts("s"), store.server_facts("t")) == ({"mode": "words"}, {})
    assert stat.S_IMODE((tmp_path / "a.sqlite").stat().st_mode) == 0o600


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x").write_text(json.dumps({"no": "database"}) * 200)
    with pytest.raises(StorageError, match="cannot be used"):
        AnswerStore(tmp_path / "x")
    with sqlite3.connect(tmp_path / "y") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(NewerFormat, match="format 99"):
        AnswerStore(tmp_path / "y")
    (tmp_path / "z").mkdir()
    with pytest.raises(StorageError):
        AnswerStore(tmp_path / "z")
