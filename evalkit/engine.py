"""lm-eval as the engine of tasks: prompts, few-shot, filters and metrics are its own; its noise is switched off."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from datakit.core.chat import is_chat
from datakit.core.errors import Unreachable
from evalkit.errors import EvalError

if TYPE_CHECKING:
    from evalkit.source import Setup, TaskSource

__all__ = ["build_task", "identity_of", "metric_names", "quiet_engine", "run_task"]


@contextlib.contextmanager
def quiet_engine(*, offline: bool = False) -> Iterator[None]:
    """lm-eval without progress bars and log lines, with each Jinja template compiled once instead of once per row.

    Args:
        offline: The hub is not asked; what is not in its cache is missing.
    """
    import datasets
    import lm_eval.api.task
    import lm_eval.utils

    logger = logging.getLogger("lm_eval")
    level, bar, asks = logger.level, lm_eval.api.task.tqdm, datasets.config.HF_HUB_OFFLINE
    environment = lm_eval.utils.env
    logger.setLevel(logging.ERROR)
    lm_eval.api.task.tqdm = lambda rows, **_: rows
    environment.from_string = functools.lru_cache(maxsize=1024)(environment.from_string)
    datasets.config.HF_HUB_OFFLINE = offline or asks
    try:
        yield
    finally:
        logger.setLevel(level)
        lm_eval.api.task.tqdm = bar
        del environment.from_string
        datasets.config.HF_HUB_OFFLINE = asks


def identity_of(source: TaskSource, *, offline: bool = False) -> Any:
    """What a task is known by: its content, never its place. Data that are not files here are loaded for it."""
    if source.local:
        return source.identity()
    with quiet_engine(offline=offline):
        return source.identity()


def build_task(source: TaskSource, setup: Setup, name: str) -> Any:
    """lm-eval's task of a source, ready to run under its name in the suite.

    Raises:
        EvalError: lm-eval refuses it, or few-shot examples would come from the items themselves.
        Unreachable: Its data are on the hub and the hub does not answer.
    """
    try:
        task = source.build(setup)
    except ConnectionError as error:
        raise Unreachable(
            f"the data of '{name}' cannot be fetched: {_line(error)}", hint="Give local data files"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, SyntaxError, OSError) as error:
        raise EvalError(f"lm-eval cannot make the task '{name}': {type(error).__name__}: {_line(error)}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "jinja2":
            raise
        raise EvalError(f"a template of the task '{name}' does not render: {_line(error)}") from error
    task.set_config("task", name)
    if setup.num_fewshot is not None:
        task.set_config("num_fewshot", setup.num_fewshot)
    elif task.config.num_fewshot is None:
        task.set_config("num_fewshot", 0)
    if task.config.num_fewshot and not source.rendered and not _has_examples(task):
        raise EvalError(
            f"task '{name}' has no split for its {task.config.num_fewshot} examples",
            hint="Name a training_split or fewshot_split: examples never come from the items that are scored",
        )
    task.set_fewshot_seed(seed=setup.seed)
    return task


def _has_examples(task: Any) -> bool:
    own = task.config.fewshot_config
    given = own is not None and (own.split is not None or own.samples is not None)
    return bool(given or task.has_training_docs() or (task.has_validation_docs() and task.has_test_docs()))


def metric_names(task: Any) -> tuple[list[str], list[str]]:
    """Metrics and filters that a task will give."""
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        return ["nll_per_token", "bits_per_byte"], ["none"]
    return list(getattr(task, "_metric_fn_list", {}) or task.aggregation()), [item.name for item in task._filters]


def run_task(
    model: Any, task: Any, setup: Setup, *, rendered: bool, limit: int | None, only: list[int] | None = None
) -> list[Mapping[str, Any]]:
    """Runs one task and returns lm-eval's logged samples, one per item and filter.

    Args:
        model: An LM of lm-eval with ``prepare``.
        task: From :func:`build_task`.
        setup: Chat settings and tokenizer.
        rendered: The task's prompts hold the chat template already.
        limit: Number of items.
        only: Numbers of the items that are run, instead of a limit.
    """
    import torch
    from lm_eval.evaluator import evaluate

    model.prepare(task)
    torch.manual_seed(setup.seed)
    chat = not rendered and is_chat(setup.tokenizer, setup.chat)
    system = None if rendered else setup.chat.system
    name = task.config.task
    found = evaluate(
        lm=model,
        task_dict={"tasks": {name: task}},
        limit=limit,
        samples=None if only is None else {name: only},
        bootstrap_iters=0,
        log_samples=True,
        # A chat template separates the turns; without one a newline does, as in datakit.core.chat.
        system_instruction=system + "\n" if system and not chat else system,
        apply_chat_template=chat,
        fewshot_as_multiturn=chat,
    )
    samples: list[Mapping[str, Any]] = found["samples"][name]
    return samples


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
