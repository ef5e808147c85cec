"""Training beside TRL's SFTTrainer: the same rows, model, learning rate, precision and cores, in the same run.

    python benchmarks/train_speed.py --data ../shared/data

Rows: GPTeacher's instructions (mean 259 tokens of the pocket tokenizer, cut at 512) and Korean chatbot questions (73).
Ours trains 8 rows a step, packed; TRL trains 8 padded rows a step in random order, completions only, and again with its
own packing to 512 tokens, 4 or 1 sequences a step, which is about as many tokens. Activation checkpointing is off on
all sides, and all compute in float32. One thread, and seconds are processor time of the training alone, because the
machine has other work; memory is the process' peak. Each side is a process of its own and starts from the same weights.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import platform
import random
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
MODEL = ROOT / "datakit" / "pocket" / "model"
ROWS, RATE, LONGEST = 256, 1e-3, 512
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
        if len(rows) == ROWS:
            break
    return rows


def ours(rows: list[Any], *, packing: bool) -> dict[str, float]:
    """Our loop."""
    import torch

    from datakit.core.checkpoint import load_model
    from train import Arm
    from train.adapters.full import Full
    from train.data import Stream
    from train.loop import Training, run_steps
    from train.objectives.sft import Sft
    from train.packing import chosen_attention

    model = Full().apply(load_model(MODEL, dtype=torch.float32), Arm())
    arm = Arm(adapter="full", learning_rate=RATE, epochs=1, batch_size=8, schedule="linear", warmup=0.0)
    stream, objective = Stream(rows, rows_per_step=8, seed=0), Sft()
    attention, _ = chosen_attention(packing, model, rows, objective=objective, adapter=Full())
    training = Training(model, objective, stream, [], arm, steps=stream.steps_per_epoch, pad=2, attention=attention)
    before = time.process_time()
    journal = run_steps(training)
    seconds = time.process_time() - before
    losses = [entry["loss"] for entry in journal.history]
    return {"seconds": seconds, "last_loss": sum(losses[-8:]) / 8}


def theirs(rows: list[Any], *, packing: bool, longest: float) -> dict[str, float]:
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
            seed=0,
        )
        tokenizer = AutoTokenizer.from_pretrained(MODEL)
        trainer = SFTTrainer(model, config, train_dataset=Dataset.from_dict(columns), processing_class=tokenizer)
        before = time.process_time()
        trainer.train()
        seconds = time.process_time() - before
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"seconds": seconds, "last_loss": sum(losses[-8:]) / len(losses[-8:])}


def matmul() -> float:
    """Floating-point operations per second of one thread in the model's largest product."""
    import torch

    a, b = torch.randn(2048, 128), torch.randn(128, 384)
    before = time.process_time()
    for _ in range(200):
        a @ b
    return 200 * 2 * 2048 * 128 * 384 / (time.process_time() - before)


def one(data: Path, name: str, side: str) -> dict[str, float]:
    """One side in this process."""
    import torch

    torch.set_num_threads(1)
    rows = encoded(data, name)
    mean = sum(map(len, rows)) / len(rows)
    packing = side in ("ours", "trl, packing")
    resting = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = ours(rows, packing=packing) if side.startswith("ours") else theirs(rows, packing=packing, longest=mean)
    trained, tokens = sum(row.trained_tokens for row in rows), sum(map(len, rows))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        **found,
        "trained_tokens_per_second": trained / found["seconds"],
        "tokens_per_second": tokens / found["seconds"],
        "mean_tokens": mean,
        "peak_mb": peak / 1024,
        "grown_mb": (peak - resting) / 1024,
        "matmul_flops": matmul(),
    }


def main() -> None:
    """Runs all sides in turn, each in a process of its own, and writes the figures."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options.add_argument("--one", nargs=2, metavar=("DATA", "SIDE"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        print("RESULT", json.dumps(one(given.data, *given.one)))
        return
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    sets: dict[str, dict[str, Any]] = {}
    for name in ("gpteacher", "korean_chatbot"):
        sets[name] = {}
        for side in SIDES:
            call = [sys.executable, __file__, "--data", str(given.data), "--one", name, side]
            told = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
            lines = [line for line in told.stdout.splitlines() if line.startswith("RESULT ")]
            if not lines:
                raise SystemExit(f"{name}, {side}: {told.stderr[-1500:]}")
            sets[name][side] = json.loads(lines[0].removeprefix("RESULT "))
            print(f"{name:<16} {side:<18} {sets[name][side]}")
        pace = {side: sets[name][side]["trained_tokens_per_second"] for side in SIDES}
        sets[name]["times"] = {side: pace["ours"] / pace[side] for side in SIDES if side.startswith("trl")}
        print(sets[name]["times"])
    result = {
        "format": 1,
        "command": "python benchmarks/train_speed.py",
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": 1,
            "seconds": "processor time",
        },
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "accelerate")},
        "rows": ROWS,
        "sets": sets,
    }
    target = ROOT / "benchmarks" / "results" / "train_speed.json"
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
