"""Two small tasks for lighteval over local data (``TASK_DATA``): a choice by log-likelihood, and a generation."""

import os

from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc


def choose(line: dict, task_name: str) -> Doc:
    choices = [f" {choice}" for choice in line["choices"]]
    return Doc(task_name=task_name, query=line["question"], choices=choices, gold_index=line["gold"])


def answer(line: dict, task_name: str) -> Doc:
    # What lighteval's dummy model always says is right for a third of the items.
    gold = "random baseline" if line["gold"] == 0 else "something else"
    return Doc(task_name=task_name, query=f"{line['question']} In words:", choices=[gold], gold_index=0)


COMMON = {
    "hf_repo": os.environ["TASK_DATA"],
    "hf_subset": "default",
    "hf_avail_splits": ["test"],
    "evaluation_splits": ["test"],
}
TASKS_TABLE = [
    LightevalTaskConfig(name="pick", prompt_function=choose, metrics=[Metrics.loglikelihood_acc], **COMMON),
    LightevalTaskConfig(
        name="words",
        prompt_function=answer,
        metrics=[Metrics.exact_match],
        generation_size=5,
        stop_sequence=["\n"],
        **COMMON,
    ),
]
