"""Labelling speed: through faults against an oracle, at a rate limit, over kills, and the second run.

The server of the tests runs in a process of its own. The oracle is a bare client of the same HTTP library, run before
and after ours on the same machine: as many calls in flight, the same faults, an immediate retry, nothing kept, nothing
paid. The ideal is a simulation that pays the latencies alone.

Usage: python benchmarks/label_speed.py [ROWS]      writes benchmarks/results/label_speed.json
"""

from __future__ import annotations

import heapq
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "datakit" / "labelling")]

from datakit.core.example import Example, to_table  # noqa: E402
from datakit.labelling.job import finish  # noqa: E402
from datakit.labelling.labeller import Labeller  # noqa: E402
from datakit.labelling.models import ModelSpec  # noqa: E402
from datakit.labelling.plan import prepare  # noqa: E402
from datakit.labelling.prices import read_prices  # noqa: E402
from datakit.labelling.run import execute  # noqa: E402
from datakit.labelling.spending import Limits  # noqa: E402
from datakit.labelling.store import Answer, AnswerStore  # noqa: E402

CONCURRENCY, LATENCY, TIMEOUT, FAULTS_SEED = 16, 0.2, 1.0, 1
KINDS = ["429"] * 3 + ["500"] * 3 + ["hang", "cut", "broken", "half"]  # one in a hundred each
SERVER = """
import json, sys, time
sys.path[:0] = {path!r}
from stub import Stub
with Stub() as stub:
    stub.faults = {{int(k): v for k, v in json.loads({faults!r}).items()}}
    stub.latency, stub.limit = {latency}, {limit}
    print(stub.url, flush=True)
    sys.stdin.readline()
    print(json.dumps({{"calls": stub.calls, "served": dict(stub.served), "most": stub.most}}), flush=True)
"""


class Server:
    """The tests' server in a process of its own."""

    def __init__(self, faults: dict[int, str], *, latency: float, limit: int | None = None) -> None:
        code = SERVER.format(path=sys.path[:2], faults=json.dumps(faults), latency=latency, limit=limit)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def stop(self) -> dict[str, Any]:
        """Ends it; what it served."""
        out, _ = self.process.communicate("\n", timeout=30)
        found: dict[str, Any] = json.loads(out)
        return found


def faults(calls: int) -> dict[int, str]:
    """The fixed sequence: call number to fault, a tenth of all calls."""
    generator = random.Random(FAULTS_SEED)
    return {n: KINDS[int(draw * 100)] for n in range(calls) if (draw := generator.random()) < 0.1}


def oracle(rows: int, url: str) -> float:
    """Seconds of a client that only sends, checks for JSON, and sends again at once where that failed."""
    import asyncio

    import httpx2

    async def run() -> None:
        left = list(range(rows))
        limits = httpx2.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
        async with httpx2.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False) as client:

            async def worker() -> None:
                while left:
                    body = {"model": "stub", "messages": [{"role": "user", "content": f"row {left.pop()}"}]}
                    while True:
                        try:
                            response = await client.post(f"{url}/chat/completions", json=body)
                            if response.status_code == 200 and response.json():
                                break
                        except (httpx2.HTTPError, ValueError):
                            continue

            await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))

    begun = time.perf_counter()
    asyncio.run(run())
    return time.perf_counter() - begun


def ideal(rows: int, plan: dict[int, str]) -> float:
    """Seconds with every place always busy and no work but waiting."""
    places = [0.0] * CONCURRENCY
    heapq.heapify(places)
    call, left = 0, rows
    while left:
        begun, fault = heapq.heappop(places), plan.get(call)
        heapq.heappush(places, begun + (TIMEOUT if fault == "hang" else LATENCY))
        call, left = call + 1, left - (fault is None)
    return max(places)


def table(rows: int) -> Any:
    """Rows of about 60 characters."""
    text = "row {} of a table that is labelled again and again to time it"
    return to_table(Example(f"{n:032x}", f"{n:032x}", "s", f"f:{n}", text=text.format(n)) for n in range(rows))


SPAM = Labeller(name="spam", kind="classify", instruction="Is it spam?", options=["ham", "spam"])


def label(rows: Any, url: str, path: Path, **spec: Any) -> tuple[float, Any, list[int]]:
    """Seconds, what it took, and the limit on calls in flight after each answer."""
    limits: list[int] = []
    begun = time.perf_counter()
    with AnswerStore(path) as store:
        asked = ModelSpec(model="stub", server=url, **spec)
        plan = prepare(rows, SPAM, [asked], store=store, prices=read_prices(), redact=None)
        took = execute(plan, store, Limits("job"), progress=lambda state: limits.append(state.limit))
        done = finish(plan)
    assert set(done.results["status"].to_pylist()) == {"ok"}
    return time.perf_counter() - begun, took, limits


def main() -> None:
    """Measures and writes the results."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    folder = Path(tempfile.mkdtemp(prefix="label-speed-"))
    found: dict[str, Any] = {"rows": rows, "concurrency": CONCURRENCY, "latency": LATENCY, "timeout": TIMEOUT}
    plan = faults(4 * rows)

    server = Server(plan, latency=LATENCY)
    before = oracle(rows, server.url)
    server.stop()
    server = Server(plan, latency=LATENCY)
    import openai

    openai.AsyncOpenAI(api_key="none").chat  # noqa: B018 - its lazy imports are no part of a call
    cpu = time.process_time()
    seconds, took, _ = label(table(rows), server.url, folder / "a.sqlite", timeout=TIMEOUT, concurrency=CONCURRENCY)
    cpu, served = time.process_time() - cpu, server.stop()
    server = Server(plan, latency=LATENCY)
    after = oracle(rows, server.url)
    server.stop()
    best = ideal(rows, plan)
    found["faults"] = {
        "seconds": seconds, "processor_seconds": cpu, "oracle_seconds": [before, after], "ideal_seconds": best,
        "share_of_oracle": (before + after) / 2 / seconds, "share_of_ideal": best / seconds, "calls": took.calls,
        "faults": dict(took.faults), "server": served,
    }  # fmt: skip

    many = table(10_000)
    server = Server({}, latency=0.0)
    with AnswerStore(folder / "b.sqlite") as store:  # what a first run leaves behind
        spec = ModelSpec(model="stub", server=server.url)
        plan_of_many = prepare(many, SPAM, [spec], store=store, prices=read_prices(), redact=None)
        answer = Answer("stub", '{"label": "ham"}', tokens_in=20, tokens_out=5)
        store.put({question.key: answer for question in plan_of_many.questions})
    cpu = time.process_time()
    again, took, _ = label(many, server.url, folder / "b.sqlite")
    cpu = time.process_time() - cpu
    served = server.stop()["calls"]
    found["second_run"] = {
        "rows": 10_000, "seconds": again, "processor_seconds": cpu, "calls": took.calls, "served": served,
    }  # fmt: skip

    server = Server({}, latency=0.05, limit=10)
    seconds, took, limits = label(table(1200), server.url, folder / "c.sqlite", concurrency=128)
    settled = limits[len(limits) // 2 :]
    found["rate_limit"] = {
        "takes_at_once": 10, "limit_mean_second_half": sum(settled) / len(settled), "least": min(settled),
        "most": max(settled), "refused_share": server.stop()["served"].get("limited", 0) / took.calls,
        "seconds": seconds, "seconds_at_the_limit": 1200 * 0.05 / 10,
    }  # fmt: skip

    packages = {name: version(name) for name in ("openai", "numpy", "pyarrow")}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {"python": platform.python_version(), "cores": cores, "load": os.getloadavg()[0], **packages}
    result = {"command": "python benchmarks/label_speed.py", "machine": facts, **found}
    print(json.dumps(result, indent=1))
    path = ROOT / "benchmarks" / "results" / "label_speed.json"
    path.write_text(json.dumps({"format": 1, **result}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
