"""Log-likelihoods beside lm-eval's own Hugging Face model: the same requests, model, cores and run.

    python benchmarks/eval_speed.py --data ../shared/data

Models: the pocket model, stories260K (both small enough that work outside the forward pass counts) and a random Llama
of about 60 million parameters with GPT-2's tokenizer. Tasks: ARC-Easy with its options' texts (two and more tokens) and
with letters (one token), zero-shot and 5-shot, the examples drawn per item (lm-eval's default) and fixed (as in MMLU);
BLiMP; PIQA. lm-eval runs with batches of 16 and with its own default settings otherwise, which put a context's
one-token options into one forward pass. Both sides have one thread, and seconds are processor time: the machine has
other work, and threads that wait for each other would count it.
Accuracy is held beside speed: the largest difference of a log-likelihood from lm-eval without its cache of logits, in
units of the tolerance max(1e-4, 5e-7 x |log-likelihood|).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from datakit.core.chat import ChatSettings  # noqa: E402
from datakit.core.storage import write_json  # noqa: E402

Pair = tuple[str, str]
LONGEST = 230
THREADS = 1


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a gzipped JSON list or JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        text = stream.read()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def arc(data: Path, count: int, *, shots: int, letters: bool, fixed: bool) -> list[list[Pair]]:
    """Items of ARC-Easy: per item its ``(context, option)`` pairs."""

    def parse(row: dict[str, Any]) -> tuple[str, list[str], int]:
        question, options = re.search(
            r"question: (.*?)\n\nAnswer1: (.*?)\n\nAnswer format", row["instruction"], re.S
        ).groups()
        texts = re.split(r" Answer\d: ", options)
        return question, texts, int(row["answer"][-1]) - 1

    def ask(question: str, texts: list[str]) -> str:
        shown = "".join(f"\n{'ABCDE'[at]}. {text}" for at, text in enumerate(texts)) if letters else ""
        return f"Question: {question}{shown}\nAnswer:"

    def told(row: dict[str, Any]) -> str:
        question, texts, gold = parse(row)
        return f"{ask(question, texts)} {'ABCDE'[gold] if letters else texts[gold]}"

    folder = data / "benchmarks" / "llm_adapters_commonsense_math" / "ARC-Easy"
    train, test = read(folder / "train.json.gz"), read(folder / "test.json.gz")
    # Short questions: five examples and a question fit the small models' window of 512 tokens.
    train, test = ([row for row in rows if len(row["instruction"]) < LONGEST] for rows in (train, test))
    draw, items = random.Random(0), []
    for row in test[:count]:
        chosen = train[:shots] if fixed else draw.sample(train, shots)
        question, texts, _ = parse(row)
        context = "\n\n".join([*(told(shot) for shot in chosen), ask(question, texts)])
        items.append([(context, f" {'ABCDE'[at] if letters else text}") for at, text in enumerate(texts)])
    return items


def passages(data: Path, count: int) -> list[list[Pair]]:
    """Zero-shot options of several tokens behind a context of more than 100 tokens: BoolQ of the O-LoRA benchmark.

    Passages are cut so that they fit the window of all models: options behind a context that is too long each lose
    another part of it, so that nothing is left to share.
    """
    folder = data / "continual_learning" / "o_lora_cl_benchmark" / "BoolQA" / "BoolQA"
    rows = read(folder / "dev.json.gz")
    options = (
        " yes, that is true",
        " no, that is false",
        " it depends on more than this",
        " nobody can tell from this",
    )
    return [[(row["sentence"][:500] + "\nAnswer:", option) for option in options] for row in rows[:count]]


def blimp(data: Path, count: int) -> list[list[Pair]]:
    """Minimal pairs without a context."""
    rows = read(data / "benchmarks" / "blimp" / "adjunct_island.jsonl.gz")[:count]
    return [[("", row["sentence_good"]), ("", row["sentence_bad"])] for row in rows]


def piqa(data: Path, count: int) -> list[list[Pair]]:
    """Two long options."""
    rows = read(data / "benchmarks" / "llm_adapters_commonsense_math" / "piqa" / "test.json.gz")[:count]
    items = []
    for row in rows:
        goal, one, two = re.search(
            r"question: (.*?)\n\nSolution1: (.*?)\n\nSolution2: (.*?)\n\nAnswer", row["instruction"], re.S
        ).groups()
        items.append([(f"Question: {goal}\nAnswer:", f" {text}") for text in (one, two)])
    return items


def models(data: Path) -> dict[str, tuple[Callable[[], tuple[Any, Any]], int]]:
    """Name to loader and to items per task."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from datakit.pocket import model_path

    def folder(path: Path) -> tuple[Any, Any]:
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(
            path
        )

    def drawn() -> tuple[Any, Any]:
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=50_257, hidden_size=512, intermediate_size=1536, num_hidden_layers=8, num_attention_heads=8,
            num_key_value_heads=4, max_position_embeddings=2048, initializer_range=0.04,
            bos_token_id=50256, eos_token_id=50256,
        )  # fmt: skip
        file = next((data / "weights" / "gpt2_tokenizer").rglob("tokenizer.json"))
        end = "<|endoftext|>"
        return LlamaForCausalLM(config).eval(), PreTrainedTokenizerFast(
            tokenizer_file=str(file), bos_token=end, eos_token=end
        )

    stories = data / "weights" / "stories260K" / "hf"
    return {
        "pocket": (lambda: folder(model_path()), 40),
        "stories260K": (lambda: folder(stories), 40),
        "llama 60M": (drawn, 6),
    }


def tasks(data: Path, count: int) -> dict[str, tuple[list[list[Pair]], float]]:
    """Name to items and to how many times faster than lm-eval they shall be."""
    return {
        "options, 5-shot": (arc(data, count, shots=5, letters=False, fixed=False), 3.0),
        "options, 5-shot fixed": (arc(data, count, shots=5, letters=False, fixed=True), 3.0),
        "options, 0-shot, long context": (passages(data, count), 2.0),
        "one token, 5-shot": (arc(data, count, shots=5, letters=True, fixed=False), 2.0),
        "one token, 5-shot fixed": (arc(data, count, shots=5, letters=True, fixed=True), 2.0),
        "one token, 0-shot": (arc(data, 3 * count, shots=0, letters=True, fixed=True), 1.0),
        "blimp": (blimp(data, 4 * count), 1.0),
        "piqa": (piqa(data, 2 * count), 1.0),
    }


def measured(model: Any, asked: list[Any], repeats: int) -> tuple[float, list[tuple[float, bool]]]:
    """Best of some runs, in seconds of processor time, and the values."""
    best, values = float("inf"), []
    for _ in range(repeats):
        start = time.process_time()
        values = model(asked)
        best = min(best, time.process_time() - start)
    return best, values


def compare(model: Any, tokenizer: Any, items: list[list[Pair]], repeats: int) -> dict[str, Any]:
    """Both on the same requests."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from evalkit.models.hf import HFModel

    pairs = [pair for item in items for pair in item]
    asked = [Instance("loglikelihood", {}, pair, 0, ("task", at, 1)) for at, pair in enumerate(pairs)]
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=16)
    ours = HFModel(model, tokenizer, chat=ChatSettings(template="none"))
    _ = ours._scorer.packs
    plain = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=16, logits_cache=False)
    their_time, _ = measured(lambda some: theirs.loglikelihood(some, disable_tqdm=True), asked, repeats)
    our_time, found = measured(ours.loglikelihood, asked, repeats)
    wanted = plain.loglikelihood(asked, disable_tqdm=True)
    off = [abs(a - b) / max(1e-4, 5e-7 * abs(b)) for (a, _), (b, _) in zip(found, wanted, strict=True)]
    sizes = [len(tokenizer(context)["input_ids"]) for context, _ in pairs]
    return {
        "requests": len(pairs),
        "context_tokens": round(sum(sizes) / len(sizes)),
        "lm_eval_seconds": round(their_time, 3),
        "our_seconds": round(our_time, 3),
        "times_faster": round(their_time / our_time, 2),
        "largest_difference_in_tolerances": round(max(off), 3),
        "same_argmax": all(a == b for (_, a), (_, b) in zip(found, wanted, strict=True)),
    }


def adapters(data: Path, count: int) -> dict[str, Any]:
    """Three adapters over one base: how often its weights are read from disk, and the seconds of each evaluation."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    import evalkit.evaluate
    from datakit.pocket import model_path, suite_path
    from evalkit import Session, load_suite

    reads = 0
    load = evalkit.evaluate.load_model

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal reads
        reads += 1
        return load(*args, **kwargs)

    evalkit.evaluate.load_model = counted
    seconds = {}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["DATAKIT_CACHE"] = scratch
        session = Session(model_path())
        suite = load_suite(suite_path())
        seconds["base"] = float(session.evaluate(suite, limit=count).header.recorded["seconds"])
        for number in range(3):
            config = LoraConfig(r=8, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
            torch.manual_seed(number)
            folder = Path(scratch) / f"adapter{number}"
            get_peft_model(AutoModelForCausalLM.from_pretrained(model_path()), config).save_pretrained(folder)
            log = session.evaluate(suite, adapter=folder, limit=count, label=f"adapter{number}")
            seconds[f"adapter{number}"] = float(log.header.recorded["seconds"])
            again = session.evaluate(suite, limit=count)
            seconds["base again"] = float(again.header.recorded["seconds"])
    return {"base_weights_read": reads, "seconds": seconds}


def main() -> None:
    """Prints the table and writes it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--models", default="pocket,stories260K,llama 60M")
    parser.add_argument("--tasks", default="", help="only these, separated by ; (the other rows stay as they are)")
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    import logging

    from transformers.utils.logging import disable_progress_bar

    logging.disable(logging.WARNING)
    disable_progress_bar()
    torch.set_num_threads(THREADS)
    known = models(args.data)
    results = ROOT / "benchmarks/results/eval_speed.json"
    before = json.loads(results.read_text()) if results.exists() else {}
    table: dict[str, Any] = dict(before.get("tasks", {}))
    chosen = {one.strip() for one in args.tasks.split(";")} - {""}
    for name in args.models.split(","):
        make, count = known[name]
        model, tokenizer = make()
        for task, (items, bar) in tasks(args.data, count).items():
            if chosen and task not in chosen:
                continue
            row = compare(model, tokenizer, items, args.repeats) | {"bar": bar}
            table[f"{name}: {task}"] = row
            print(
                f"{name:<12} {task:<30} {row['requests']:>5} x {row['context_tokens']:>4} tokens",
                f"{row['lm_eval_seconds']:>8.2f} s {row['our_seconds']:>8.2f} s",
                f"{row['times_faster']:>5.2f} x (bar {bar})",
                f"off {row['largest_difference_in_tolerances']:.2f}  {row['same_argmax']}",
                flush=True,
            )
    swapped = before.get("adapters") if chosen else adapters(args.data, 20)
    print(swapped)
    write_json(
        results,
        {
            "command": "python benchmarks/eval_speed.py",
            "versions": {one: version(one) for one in ("lm_eval", "torch", "transformers", "peft")},
            "clock": "time.process_time",
            "machine": {"cores": os.cpu_count(), "threads": THREADS, "system": platform.machine()},
            "tasks": table,
            "adapters": swapped,
        },
    )


if __name__ == "__main__":
    main()
