"""What fewer passes on the CPU gain: one call against PyTorch's own, and a training with them against one without.

    python benchmarks/fused_passes.py --data ../shared/data

One thread, processor time, the pocket model, the rows of ``train_speed.py``; with and without take turns, three times.
Beside it, of the training with them: the share of time in matrix products (PyTorch's profiler) and in putting batches
together, which is what prefetching could hide.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]


def milliseconds(call: Callable[[], Any]) -> float:
    """Processor time of one call, after some to warm up."""
    for _ in range(20):
        call()
    before = time.process_time()
    for _ in range(100):
        call()
    return 10 * (time.process_time() - before)


def calls() -> dict[str, dict[str, float]]:
    """A norm of 2,048 x 128 and a gate of 2,048 x 384, forth and back."""
    import torch
    from torch.nn import functional

    from train.fused.functions import gated, rms_norm

    x, grad = torch.randn(2048, 128, requires_grad=True), torch.randn(2048, 128)
    weight = torch.ones(128, requires_grad=True)
    a, u, wide = (torch.randn(2048, 384, requires_grad=number < 2) for number in range(3))

    def usual(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

    both = {
        "norm": (lambda: rms_norm(x, weight, 1e-6).backward(grad), lambda: usual(x, weight).backward(grad)),
        "gate": (lambda: gated(a, u).backward(wide), lambda: (functional.silu(a) * u).backward(wide)),
    }
    return {name: {"ours": milliseconds(ours), "torch": milliseconds(own)} for name, (ours, own) in both.items()}


def trainings(data: Path, name: str) -> dict[str, Any]:
    """Pace with and without, and two shares of the time with them."""
    import train_speed
    from torch.profiler import ProfilerActivity, profile

    import train.loop
    from train.fused import chosen

    rows = train_speed.encoded(data, name)[: train_speed.ROWS]
    fewer, together, seconds = chosen.fewer_passes, train.loop._batches, [0.0]

    def timed(*inputs: Any) -> Any:
        before = time.process_time()
        found = together(*inputs)
        seconds[0] += time.process_time() - before
        return found

    def run(way: Any) -> float:
        chosen.fewer_passes, train.loop._batches = way, timed
        seconds[0] = 0.0
        try:
            return float(train_speed.ours(rows, packing=True, seed=0)[1]["processor_seconds"])
        finally:
            chosen.fewer_passes, train.loop._batches = fewer, together

    taken: dict[str, list[float]] = {"with": [], "without": []}
    run(fewer)
    for _ in range(3):
        taken["without"].append(run(lambda *_, **__: contextlib.nullcontext()))
        taken["with"].append(run(fewer))
    batches = seconds[0] / taken["with"][-1]
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run(fewer)
    own = {event.key: event.self_cpu_time_total for event in seen.key_averages()}
    return {
        "processor_seconds": taken,
        "times": statistics.median(taken["without"]) / statistics.median(taken["with"]),
        "share_of_products": own["aten::mm"] / sum(own.values()),
        "share_of_putting_batches_together": batches,
    }


def main() -> None:
    """Measures, prints and writes."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    given = options.parse_args()
    import torch

    torch.set_num_threads(1)
    found = {"milliseconds": calls()} | {name: trainings(given.data, name) for name in ("gpteacher", "korean_chatbot")}
    versions = {name: version(name) for name in ("torch", "transformers", "numba")}
    result = {"format": 1, "command": "python benchmarks/fused_passes.py", "threads": 1, "versions": versions, **found}
    print(json.dumps(result, indent=1))
    target = ROOT / "benchmarks" / "results" / "fused_passes.json"
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
