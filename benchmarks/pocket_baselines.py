"""How far surface statistics get on the pocket suite: the base model beside a 5-gram and a bag of words.

    python benchmarks/pocket_baselines.py

Both baselines read the pretraining text. The 5-gram backs off as in Brants et al. 2007, "Large Language Models in
Machine Translation" (factor 0.4). The bag of words is naive Bayes per family: how often a prompt word stands beside an
answer word in training items. Ties count as the chance of a right guess.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from datakit.core.storage import write_json  # noqa: E402
from datakit.pocket import model_path, suite_path, write_task  # noqa: E402
from datakit.pocket.corpus import documents, training_item  # noqa: E402
from datakit.pocket.families import FAMILIES  # noqa: E402

Row = dict[str, Any]
# Scores of all choices of all rows.
Scorer = Callable[[Sequence[Row]], list[list[float]]]
LONGEST = 12


def words(text: str) -> list[str]:
    """Words, digits and signs; numbers are split as the tokenizer splits them."""
    return re.findall(r"\d|[^\W\d]+|[^\w\s]", text)


def accuracy(scores: list[list[float]], rows: Sequence[Row]) -> float:
    """Share of rows whose best choice is the right one; a tie of k counts 1/k."""
    right = 0.0
    for row, values in zip(rows, scores, strict=True):
        best = max(values)
        tied = [place for place, value in enumerate(values) if value > best - 1e-9]
        right += (row["label"] in tied) / len(tied)
    return right / len(rows)


class FiveGram:
    """Counts of one to five words, and stupid backoff."""

    def __init__(self, count: int, seed: int) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.followers: dict[tuple[str, ...], str] = {}
        self.total = 0
        for text in itertools.islice(documents(seed), count):
            line = ["<s>", *words(text), "</s>"]
            self.total += len(line)
            for size in range(1, 6):
                self.counts.update(tuple(line[at : at + size]) for at in range(len(line) - size + 1))
        best: Counter[tuple[str, ...]] = Counter()
        for gram, seen in self.counts.items():
            if seen > best[gram[:-1]]:
                best[gram[:-1]] = seen
                self.followers[gram[:-1]] = gram[-1]

    def log_score(self, context: Sequence[str], word: str) -> float:
        """Log of the backed-off relative frequency of a word after up to four words."""
        penalty = 0.0
        for size in range(min(4, len(context)), 0, -1):
            before = tuple(context[len(context) - size :])
            seen = self.counts.get((*before, word), 0)
            if seen:
                return penalty + math.log(seen / self.counts[before])
            penalty += math.log(0.4)
        return penalty + math.log(self.counts.get((word,), 0.5) / self.total)

    def score(self, rows: Sequence[Row]) -> list[list[float]]:
        """Sum over the words of each choice."""
        return [[self._continuation(["<s>", *words(row["prompt"])], words(c)) for c in row["choices"]] for row in rows]

    def _continuation(self, context: list[str], choice: list[str]) -> float:
        line = context + choice
        return sum(self.log_score(line[:at], line[at]) for at in range(len(context), len(line)))

    def generate(self, prompt: str) -> str:
        """The most frequent continuation, word by word."""
        line = ["<s>", *words(prompt)]
        start = len(line)
        while len(line) - start < LONGEST:
            sizes = range(min(4, len(line)), -1, -1)
            word = next(self.followers[c] for c in (tuple(line[len(line) - s :]) for s in sizes) if c in self.followers)
            if word == "</s>":
                break
            line.append(word)
        return " ".join(line[start:])


def bag_of_words(family: str, count: int, seed: int) -> Scorer:
    """Naive Bayes over the words of prompt and answer, from training items of one family."""
    rng = random.Random(f"bag {seed} {family}")
    answers: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    vocabulary: Counter[str] = Counter()
    for _ in range(count):
        item = training_item(rng, family)
        prompt = sorted(set(re.findall(r"\w+", item.prompt)))
        vocabulary.update(prompt)
        for answer in re.findall(r"\w+", item.answer):
            answers[answer] += 1
            pairs.update((word, answer) for word in prompt)

    def one(prompt: list[str], answer: str) -> float:
        seen = answers[answer]
        known = [word for word in prompt if word in vocabulary]
        return math.log(seen + 0.5) + sum(math.log((pairs[word, answer] + 0.5) / (seen + 1)) for word in known)

    def score(rows: Sequence[Row]) -> list[list[float]]:
        found = []
        for row in rows:
            prompt = sorted(set(re.findall(r"\w+", row["prompt"])))
            found.append([math.fsum(one(prompt, word) for word in re.findall(r"\w+", c)) for c in row["choices"]])
        return found

    return score


class Base:
    """The pocket model."""

    def __init__(self) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(model_path())
        self.model = AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.float32).eval()

    @torch.no_grad()
    def score(self, rows: Sequence[Row]) -> list[list[float]]:
        """Log-likelihood of each choice after the prompt, one row's choices as one batch."""
        found = []
        for row in rows:
            start = len(self.tokenizer(row["prompt"])["input_ids"])
            batch = self.tokenizer([f"{row['prompt']} {c}" for c in row["choices"]], padding=True, return_tensors="pt")
            logs = self.model(**batch).logits.log_softmax(-1)[:, :-1]
            taken = logs.gather(2, batch["input_ids"][:, 1:, None])[..., 0] * batch["attention_mask"][:, 1:]
            found.append(taken[:, start - 1 :].sum(1).tolist())
        return found

    @torch.no_grad()
    def generate(self, prompt: str) -> str:
        """Greedy continuation up to a line end."""
        batch = self.tokenizer(prompt, return_tensors="pt")
        made = self.model.generate(**batch, max_new_tokens=LONGEST, do_sample=False)[0, batch["input_ids"].shape[1] :]
        return str(self.tokenizer.decode(made, skip_special_tokens=True)).split("\n")[0].strip()


def new_task_rows() -> list[Row]:
    """Rows of the new task in the prompt of the demo, before any training on it."""
    with tempfile.TemporaryDirectory() as folder:
        written = write_task(Path(folder), seed=1)
        tickets = list(csv.DictReader(written.path.open(encoding="utf-8")))
    labels = list(written.labels)
    return [
        {"prompt": f"Message: {t['text']}\nQueue:", "choices": labels, "label": labels.index(t["queue"])}
        for t in tickets[:500]
    ]


def main() -> None:
    """Prints the table and writes it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=50_000, help="documents the 5-gram counts")
    parser.add_argument("--items", type=int, default=20_000, help="training items per family for the bag of words")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(2)
    base, grams = Base(), FiveGram(args.documents, args.seed)
    table: dict[str, dict[str, float | None]] = {}
    for family in FAMILIES:
        lines = (suite_path().parent / f"{family}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        if "choices" not in rows[0]:
            own = sum(base.generate(row["prompt"]) == row["answer"] for row in rows) / len(rows)
            gram = sum(grams.generate(row["prompt"]) == row["answer"] for row in rows) / len(rows)
            table[family] = {"base": own, "five_gram": gram, "bag_of_words": None, "chance": 0.0}
            continue
        bag = bag_of_words(family, args.items, args.seed)
        table[family] = {
            "base": accuracy(base.score(rows), rows),
            "five_gram": accuracy(grams.score(rows), rows),
            "bag_of_words": accuracy(bag(rows), rows),
            "chance": 1 / len(rows[0]["choices"]),
        }
    tickets = new_task_rows()
    table["new task"] = {
        "base": accuracy(base.score(tickets), tickets),
        "five_gram": accuracy(grams.score(tickets), tickets),
        "bag_of_words": None,
        "chance": 1 / len(tickets[0]["choices"]),
    }
    print(f"{'task':<12}{'base':>8}{'5-gram':>8}{'bag':>8}{'chance':>8}")
    for name, figures in table.items():
        cells = [f"{'-' if v is None else format(v, '.3f'):>8}" for v in figures.values()]
        print(f"{name:<12}{''.join(cells)}")
    write_json(
        ROOT / "benchmarks/results/pocket_baselines.json",
        {
            "command": f"python benchmarks/pocket_baselines.py --documents {args.documents} --items {args.items} "
            f"--seed {args.seed}",
            "tasks": {n: {k: None if v is None else round(v, 4) for k, v in f.items()} for n, f in table.items()},
        },
    )


if __name__ == "__main__":
    main()
