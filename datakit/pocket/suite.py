"""The suite: held-out items of every family as JSONL, one lm-eval task each, and the file that lists them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from datakit.core.storage import write_text
from datakit.pocket.families import FAMILIES
from datakit.pocket.items import Item, draw

__all__ = ["ITEMS", "SEED", "items", "write_suite"]

SEED = 20
ITEMS = 500

MARGIN = 0.05
MARGIN_REASON = (
    "with all 500 items of a task, where a tenth of the answers flip between base and tuned model, a paired 95 % "
    "interval is about 2.8 points wide on either side, so a true change of 5 points lies outside the noise and one of "
    "2 does not"
)

_CHOICE_YAML = """\
task: pocket_{family}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {family}.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: prompt
doc_to_choice: choices
doc_to_target: label
target_delimiter: " "
num_fewshot: 0
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
"""

_GENERATE_YAML = """\
task: pocket_{family}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {family}.jsonl
test_split: test
output_type: generate_until
doc_to_text: prompt
doc_to_target: answer
target_delimiter: " "
num_fewshot: 0
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 12
  do_sample: false
filter_list:
  - name: none
    filter:
      - function: remove_whitespace
      - function: take_first
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
"""


def items(family: str) -> list[Item]:
    """The suite's items of a family: held-out combinations only, no prompt twice."""
    rng = random.Random(f"{SEED} {family}")
    found: dict[str, Item] = {}
    while len(found) < ITEMS:
        item = draw(FAMILIES[family], rng, held_out=True)
        found.setdefault(item.prompt, item)
    return list(found.values())


def _rows(family: str) -> Iterator[dict[str, object]]:
    for number, item in enumerate(items(family)):
        row: dict[str, object] = {"id": f"{family}-{number:03d}", "prompt": item.prompt}
        if item.choices:
            yield row | {"choices": list(item.choices), "label": item.choices.index(item.answer)}
        else:
            yield row | {"answer": item.answer}


def _suite_yaml(chances: dict[str, float]) -> str:
    lines = [
        "format: 1",
        "name: pocket",
        "description: Nine general tasks of the pocket world, each on combinations that pretraining never saw.",
        f"margin: {MARGIN}",
        f'margin_reason: "{MARGIN_REASON}"',
        "tasks:",
    ]
    for family, chance in chances.items():
        metric = "acc" if chance else "exact_match"
        lines.append(
            f"  - {{task: {family}.yaml, name: {family}, metric: {metric}, filter: none, chance: {chance:.4g}}}"
        )
    return "\n".join(lines) + "\n"


def write_suite(folder: Path) -> None:
    """Writes ``suite.yaml``, and per family ``<family>.yaml`` and ``<family>.jsonl``, into a folder."""
    chances: dict[str, float] = {}
    for family in FAMILIES:
        rows = list(_rows(family))
        write_text(folder / f"{family}.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        choices = rows[0].get("choices")
        chances[family] = 1 / len(choices) if isinstance(choices, list) else 0.0
        template = _CHOICE_YAML if choices else _GENERATE_YAML
        write_text(folder / f"{family}.yaml", template.format(family=family))
    write_text(folder / "suite.yaml", _suite_yaml(chances))
