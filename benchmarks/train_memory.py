"""Estimated beside measured peak memory of a training on the CPU, above the resident size before the model is loaded.

    python benchmarks/train_memory.py [--only NAME]

Models with random weights, 100 M parameters and more; rows of a fixed length, a quarter of it trained. Every case is
trained two steps in a process of its own, whose peak is VmHWM, reset before loading; the estimate is made in another.
On a GPU the same formula holds but was never run here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

MODELS = {
    "llama-110M": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12, "vocab_size": 32000},
    "llama-190M": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 10, "vocab_size": 64000},
}
CASES: list[dict[str, Any]] = [
    {"model": "llama-110M", "adapter": "full", "batch_size": 2, "length": 128},
    {"model": "llama-110M", "adapter": "lora", "batch_size": 4, "length": 256},
    {"model": "llama-110M", "adapter": "full", "batch_size": 4, "length": 256},
    {"model": "llama-190M", "adapter": "lora", "batch_size": 2, "length": 256},
    {"model": "llama-190M", "adapter": "full", "batch_size": 2, "length": 128},
]


def make_model(folder: Path, **sizes: int) -> None:
    """A Llama with random weights and a tokenizer of one token per word."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

    words = {f"w{number}": number for number in range(sizes["vocab_size"] - 2)}
    words |= {"<unk>": len(words), "</s>": len(words) + 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(**sizes, num_attention_heads=12, num_key_value_heads=12, max_position_embeddings=1024)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def make_data(path: Path, length: int, rows: int) -> None:
    """Rows of ``length`` tokens; the last quarter is the answer."""
    from datakit.core.example import Example, Message, to_table
    from datakit.core.storage import write_table

    answer = length // 4

    def text(number: int, start: int, count: int) -> str:
        return " ".join(f"w{(number * 31 + at) % 20000}" for at in range(start, start + count))

    made = []
    for number in range(rows):
        turns = (
            Message("user", text(number, 0, length - answer)),
            Message("assistant", text(number, length, answer - 1)),
        )
        made.append(Example(id=str(number), group=str(number), source="s", origin=f"s:{number}", messages=turns))
    write_table(path, to_table(made))


def memory(field: str) -> int:
    """Bytes of this process: VmRSS or VmHWM."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def arm_of(case: dict[str, Any]) -> Any:
    """The arm of a case: two steps of one batch."""
    from train import Arm

    return Arm(adapter=case["adapter"], learning_rate=1e-5, steps=2, batch_size=case["batch_size"])


def child(kind: str, case: dict[str, Any], model: str, data: str) -> None:
    """Prints the measured peak, or the estimate, as JSON."""
    import transformers  # noqa: F401 - what is imported before the model is not the model's

    import train

    if kind == "measure":
        with tempfile.TemporaryDirectory() as name:
            train.prepare(arm_of(case), model=model, data=Path(data))
            Path("/proc/self/clear_refs").write_text("5")
            before = memory("VmRSS")
            train.fit(arm_of(case), model=model, data=Path(data), output=Path(name) / "out")
            print(json.dumps({"peak": memory("VmHWM") - before}))
        return
    found = train.estimate(arm_of(case), model=model, data=Path(data))
    names = ("weights", "gradients", "optimizer", "activations", "logits", "workspace", "overlap", "peak")
    print(json.dumps({name: getattr(found.memory, name) for name in names}))


def run(kind: str, case: dict[str, Any], model: Path, data: Path) -> dict[str, int]:
    """One case in a process of its own."""
    command = [sys.executable, __file__, "--child", kind, json.dumps(case), str(model), str(data)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Runs all cases and writes benchmarks/results/train_memory.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", nargs=4)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    if arguments.child:
        kind, case, model, data = arguments.child
        child(kind, json.loads(case), model, data)
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for model, sizes in MODELS.items():
            folder = Path(name) / model
            make_model(folder, **sizes)
            for case in CASES:
                label = f"{case['model']} {case['adapter']} {case['batch_size']}x{case['length']}"
                if case["model"] != model or (arguments.only and arguments.only not in label):
                    continue
                data = Path(name) / "train.parquet"
                make_data(data, case["length"], 2 * case["batch_size"])
                measured = run("measure", case, folder, data)["peak"]
                estimated = run("estimate", case, folder, data)
                error = estimated["peak"] / measured - 1
                print(f"{label:32} measured {measured / 2**20:7.0f} MiB, estimate {error:+.1%}", estimated, flush=True)
                rows.append({**case, "measured": measured, "estimated": estimated, "error": round(error, 4)})
    facts = {
        "command": "python benchmarks/train_memory.py",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers")},
        },
        "device": "cpu",
        "models": MODELS,
        "cases": rows,
        "largest_error": max(abs(row["error"]) for row in rows),
    }
    if not arguments.only:
        from datakit.core.storage import write_json

        write_json(ROOT / "benchmarks" / "results" / "train_memory.json", facts, format=1)


if __name__ == "__main__":
    main()
