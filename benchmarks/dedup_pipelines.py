"""Deduplication beside pipelines that go from files to files: text-dedup and datatrove, two processes each.

    DATAKIT_PEERS=.cache/peers python benchmarks/dedup_pipelines.py [TEXTS]

Timed inside each process after its imports, from the texts on disk in the form it reads to the rows that stay. Peers
verify nothing. datatrove's own word tokenizer is replaced by a split at spaces, which is faster and needs no download.
Writes benchmarks/results/dedup_pipelines.json.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ENGINES = {"datakit": "", "text_dedup": "text-dedup", "datatrove": "datatrove"}
VERSIONS = {"text_dedup": "0.4.0", "datatrove": "0.10.1"}
PERMUTATIONS, NGRAM, THRESHOLD, BANDS, ROWS = 128, 5, 0.8, 21, 6


def datakit(folder: Path) -> Callable[[], int]:
    """This project, on the mapped file."""
    import pyarrow as pa

    from datakit.dedup import deduplicate

    def work() -> int:
        texts = pa.ipc.open_file(pa.memory_map(str(folder / "corpus.arrow"))).read_all().column("text")
        return int(deduplicate(texts, threshold=THRESHOLD, ngram=NGRAM, num_perm=PERMUTATIONS).keep.sum())

    import corpus

    deduplicate(corpus.read(folder / "corpus.arrow").slice(0, 3000))  # compiled code
    return work


def text_dedup(folder: Path) -> Callable[[], int]:
    """Its MinHash script, which chooses its own bands."""
    import datasets
    from text_dedup.minhash import main

    datasets.Dataset.from_parquet(str(folder / "parquet" / "*.parquet"), cache_dir=str(folder / "cache")).save_to_disk(
        str(folder / "dataset")
    )
    given = {
        "path": folder / "dataset", "output": folder / "out", "cache_dir": folder / "cache", "column": "text",
        "num_perm": PERMUTATIONS, "ngram": NGRAM, "threshold": THRESHOLD, "num_proc": 2, "min_length": 0,
    }  # fmt: skip
    options = [part for name, value in given.items() for part in (f"--{name}", str(value))]

    def work() -> int:
        main([*options, "--local"], standalone_mode=False)
        return len(datasets.load_from_disk(str(folder / "out")))

    return work


def datatrove(folder: Path) -> Callable[[], int]:
    """Its stages up to the list of rows to remove, in two workers."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import minhash
    from datatrove.pipeline.readers import ParquetReader

    class Spaces:
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

    config = minhash.MinhashConfig(n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=ROWS)
    names = [str(folder / name) for name in ("signatures", "buckets", "removed")]

    def stage(steps: list[Any], tasks: int) -> None:
        logs = str(folder / f"logs-{uuid.uuid4().hex}")  # by default they go into the current folder
        options = {"workers": min(tasks, 2), "start_method": "fork", "logging_dir": logs}
        LocalPipelineExecutor(steps, tasks=tasks, **options).run()

    def work() -> int:
        minhash.load_word_tokenizer = lambda language: Spaces()
        signature = minhash.MinhashDedupSignature(names[0], config)
        stage([ParquetReader(str(folder / "parquet")), signature], 2)
        stage([minhash.MinhashDedupBuckets(names[0], names[1], config=config)], BANDS)
        stage([minhash.MinhashDedupCluster(names[1], names[2], config=config)], 1)
        removed = sum(path.stat().st_size // 4 for path in Path(names[2]).glob("*.remove"))
        return rows_of(folder) - removed

    return work


def rows_of(folder: Path) -> int:
    """Texts in the corpus."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in (folder / "parquet").glob("*.parquet"))


def cpu() -> float:
    """Processor seconds of this process and those it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def prepare(folder: Path, texts: int) -> None:
    """The corpus as one Arrow file and as two Parquet files."""
    import corpus
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = corpus.read(corpus.write(folder / "corpus.arrow", texts))
    (folder / "parquet").mkdir()
    for number in range(2):
        part = column.slice(number * (texts // 2), texts // 2 if number == 0 else None)
        pq.write_table(pa.table({"text": part}), folder / "parquet" / f"{number}.parquet")


def timed(engine: str, peer: str, folder: Path) -> dict[str, Any]:
    """One engine in the environment it needs."""
    peers = Path(os.environ.get("DATAKIT_PEERS", ROOT / ".cache" / "peers"))
    python = str(peers / peer / "bin" / "python") if peer else sys.executable
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "" if peer else str(ROOT)}
    command = [python, __file__, engine, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{engine}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Runs all engines in turn and writes; with an engine and a folder, runs that one."""
    if len(sys.argv) == 3:
        work = {"datakit": datakit, "text_dedup": text_dedup, "datatrove": datatrove}[sys.argv[1]](Path(sys.argv[2]))
        started, used = time.perf_counter(), cpu()
        kept = work()
        print()
        print(json.dumps({"seconds": time.perf_counter() - started, "cpu_seconds": cpu() - used, "kept": kept}))
        return
    texts = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), texts)
        found = {engine: timed(engine, peer, Path(name)) for engine, peer in ENGINES.items()}
    ours = found["datakit"]
    results = {
        "format": 1,
        "command": "python benchmarks/dedup_pipelines.py",
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "versions": VERSIONS,
        "texts": texts,
        "engines": {
            engine: {
                "seconds": round(run["seconds"], 2),
                "cpu_seconds": round(run["cpu_seconds"], 2),
                "kept": run["kept"],
                "times_ours": round(run["seconds"] / ours["seconds"], 1),
                "times_ours_cpu": round(run["cpu_seconds"] / ours["cpu_seconds"], 1),
            }
            for engine, run in found.items()
        },
    }
    path = ROOT / "benchmarks" / "results" / "dedup_pipelines.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
