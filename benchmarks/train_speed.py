"""Training beside TRL's SFTTrainer: the same rows, model, learning rate, precision and cores, in the same run.

    python benchmarks/train_speed.py --data ../shared/data
    python benchmarks/train_speed.py --threads 1 --seeds 1

Rows: GPTeacher's instructions (mean 259 tokens of the pocket tokenizer, cut at 512) and Korean chatbot questions (73).
Ours trains 8 rows a step, packed; TRL trains 8 padded rows a step in random order, completions only, and again with its
own packing to 512 tokens, 4 or 1 sequences a step, which is about as many tokens. Activation checkpointing is off on
all sides, and all compute in float32. Seconds are those of the training alone, by the clock and of the processors;
memory is the process' peak. Each side is a process of its own and starts from the same weights; the sides take turns,
seed by seed. At the end each model's loss on the same held-out rows is measured, by the same code.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import itertools
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
MODEL = ROOT / "datakit" / "pocket" / "model"
ROWS, HELD_OUT, RATE, LONGEST = 256, 128, 1e-3, 512
SIDES = ("ours", "ours, not packed", "trl", "trl, packing")


def pairs(data: Path, name: str) -> list[tuple[str, str]]:
    """Prompts and answers of a data set."""
    folder = data / "instruction" / name
    if name == "korean_chatbot":
        with gzip.open(folder / "ChatbotData.csv.gz", "rt", encoding="utf-8") as stream:
            return [(row["Q"], row["A"]) for row in csv.DictReader(io.StringIO(stream.read()))]
    found = []
    for file in sorted(folder.glob("*.json.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            rows = json.load(stream)
        found += [
            ("\n".join(filter(None, (row["instruction"], row.get("input")))), row.get("output") or "") for row in rows
        ]
    return found


def encoded(data: Path, name: str) -> list[Any]:
    """The same rows for every side."""
    from datakit.core.chat import ChatSettings, ends_turn
    from datakit.core.checkpoint import load_tokenizer
    from train.masking import completion_row

    tokenizer, chat = load_tokenizer(MODEL), ChatSettings()
    end, rows, found = ends_turn(tokenizer, chat), [], pairs(data, name)
    random.Random(0).shuffle(found)
    for number, (prompt, answer) in enumerate(found):
        if prompt.strip() and answer.strip():
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
            row = completion_row(str(number), turns, tokenizer, chat, end=end, max_length=LONGEST)
            rows += [row] if row.weight else []
        if len(rows) == ROWS + HELD_OUT:
            break
    return rows


def ours(rows: list[Any], *, packing: bool, seed: int) -> tuple[Any, dict[str, Any]]:
    """Our loop, with what ``fit`` puts around it."""
    import torch

    from datakit.core.checkpoint import load_model
    from train import Arm
    from train.adapters.full import Full
    from train.data import Stream
    from train.fused.chosen import fewer_passes
    from train.loop import Training, run_steps
    from train.objectives.sft import Sft
    from train.packing import chosen_attention

    model = Full().apply(load_model(MODEL, dtype=torch.float32), Arm())
    arm = Arm(adapter="full", learning_rate=RATE, epochs=1, batch_size=8, schedule="linear", warmup=0.0)
    stream, objective = Stream(rows, rows_per_step=8, seed=seed), Sft()
    attention, _ = chosen_attention(packing, model, rows, objective=objective, adapter=Full())
    training = Training(
        model,
        objective,
        stream,
        [],
        arm,
        steps=stream.steps_per_epoch,
        pad=2,
        attention=attention,
        passes=fewer_passes(model, rows, objective=objective, pad=2, arm=arm, attention=attention),
    )
    clock, before = time.perf_counter(), time.process_time()
    journal = run_steps(training)
    seconds = {"seconds": time.perf_counter() - clock, "processor_seconds": time.process_time() - before}
    return model, {**seconds, "losses": [entry["loss"] for entry in journal.history if "loss" in entry]}


def theirs(rows: list[Any], *, packing: bool, longest: float, seed: int) -> tuple[Any, dict[str, Any]]:
    """TRL's trainer."""
    import tempfile

    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    columns = {
        "input_ids": [row.ids.tolist() for row in rows],
        "completion_mask": [row.trained.astype(int).tolist() for row in rows],
    }
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=max(1, round(8 * longest / LONGEST)) if packing else 8,
            num_train_epochs=1,
            learning_rate=RATE,
            lr_scheduler_type="linear",
            max_length=LONGEST,
            packing=packing,
            completion_only_loss=True,
            gradient_checkpointing=False,
            bf16=False,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            seed=seed,
        )
        tokenizer = AutoTokenizer.from_pretrained(MODEL)
        trainer = SFTTrainer(model, config, train_dataset=Dataset.from_dict(columns), processing_class=tokenizer)
        clock, before = time.perf_counter(), time.process_time()
        trainer.train()
        seconds = {"seconds": time.perf_counter() - clock, "processor_seconds": time.process_time() - before}
    return model, {**seconds, "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]}


def held_out_loss(model: Any, rows: list[Any]) -> float:
    """Nats per trained token of rows that nobody trained on."""
    import torch

    from train.data import collate
    from train.losses import nll

    model.eval()
    with torch.no_grad():
        total = sum(float(nll(model, collate([row], pad=2)).total) for row in rows)
    return total / sum(row.trained_tokens for row in rows)


def matmul() -> float:
    """Floating-point operations per second in the model's largest product."""
    import torch

    a, b = torch.randn(2048, 128), torch.randn(128, 384)
    before = time.perf_counter()
    for _ in range(200):
        a @ b
    return 200 * 2 * 2048 * 128 * 384 / (time.perf_counter() - before)


def one(data: Path, name: str, side: str, seed: int, threads: int) -> dict[str, Any]:
    """One side in this process."""
    import torch

    torch.set_num_threads(threads)
    found = encoded(data, name)
    rows, held_out = found[:ROWS], found[ROWS:]
    mean = sum(map(len, rows)) / len(rows)
    packing = side in ("ours", "trl, packing")
    resting = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if side.startswith("ours"):
        model, measured = ours(rows, packing=packing, seed=seed)
    else:
        model, measured = theirs(rows, packing=packing, longest=mean, seed=seed)
    trained, tokens = sum(row.trained_tokens for row in rows), sum(map(len, rows))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        **measured,
        "trained_tokens_per_second": trained / measured["seconds"],
        "tokens_per_second": tokens / measured["seconds"],
        "mean_tokens": mean,
        "peak_mb": peak / 1024,
        "grown_mb": (peak - resting) / 1024,
        "held_out_loss": held_out_loss(model, held_out),
        "matmul_flops": matmul(),
    }


def together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One side over its seeds: medians, and the losses of every seed."""
    figures = {
        key: statistics.median(run[key] for run in runs) for key in runs[0] if key not in ("losses", "held_out_loss")
    }
    quarters = []
    for losses in (run["losses"] for run in runs):
        ends = [round(k * len(losses) / 4) for k in range(5)]
        quarters.append([statistics.fmean(losses[start:end]) for start, end in itertools.pairwise(ends)])
    return {
        **figures,
        "loss_by_quarter": [[round(value, 4) for value in quarter] for quarter in quarters],
        "held_out_loss": [round(run["held_out_loss"], 4) for run in runs],
    }


def main() -> None:
    """Runs all sides in turn, each in a process of its own, and writes the figures."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--one", nargs=3, metavar=("DATA", "SIDE", "SEED"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        name, side, seed = given.one
        print("RESULT", json.dumps(one(given.data, name, side, int(seed), given.threads)))
        return
    environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads), "TOKENIZERS_PARALLELISM": "false"}
    base = [sys.executable, __file__, "--data", str(given.data), "--threads", str(given.threads)]
    sets: dict[str, dict[str, Any]] = {}
    for name in ("gpteacher", "korean_chatbot"):
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for seed, side in itertools.product(range(given.seeds), SIDES):
            call = [*base, "--one", name, side, str(seed)]
            told = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
            lines = [line for line in told.stdout.splitlines() if line.startswith("RESULT ")]
            if not lines:
                raise SystemExit(f"{name}, {side}: {told.stderr[-1500:]}")
            runs[side].append(json.loads(lines[0].removeprefix("RESULT ")))
            shown = {key: value for key, value in runs[side][-1].items() if key != "losses"}
            print(f"{name:<16} {side:<18} {seed} {shown}", flush=True)
        sets[name] = {side: together(found) for side, found in runs.items()}
        for key in ("seconds", "processor_seconds"):
            ratios = {
                side: [theirs[key] / own[key] for own, theirs in zip(runs["ours"], runs[side], strict=True)]
                for side in SIDES
                if side.startswith("trl")
            }
            sets[name][f"times_by_{key}"] = {side: [round(one, 3) for one in found] for side, found in ratios.items()}
            print(name, key, sets[name][f"times_by_{key}"])
    result = {
        "format": 2,
        "command": "python " + " ".join(["benchmarks/train_speed.py", *sys.argv[1:]]),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "threads": given.threads},
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "accelerate")},
        "rows": ROWS,
        "sets": sets,
    }
    target = ROOT / "benchmarks" / "results" / "train_speed.json"
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
