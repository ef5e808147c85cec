"""Which data sets of the Hub a suite's tasks load, read from lm-eval's own files."""

from __future__ import annotations

from typing import Any

from evalkit.builtin import BuiltinSource
from evalkit.docs import FORMATS
from evalkit.groups import members
from evalkit.suite import Suite
from evalkit.taskfile import ConfigSource

__all__ = ["hub_datasets", "task_config"]


def task_config(source: BuiltinSource) -> dict[str, Any]:
    """lm-eval's keys of a task with its includes merged; functions are left as their names."""
    from lm_eval.tasks._yaml_loader import load_yaml

    found: dict[str, Any] = load_yaml(source.path, resolve_func=False)
    return found


def hub_datasets(suite: Suite) -> list[tuple[str, str]]:
    """``(task, org/name)`` of every data set that is not a local file, each name once."""
    found: dict[str, str] = {}
    for task in suite.tasks:
        for source in members(task.source):
            name = None
            if isinstance(source, BuiltinSource):
                name = task_config(source).get("dataset_path")
            elif isinstance(source, ConfigSource) and not source.local:
                name = source.config.get("dataset_path")
            if isinstance(name, str) and name not in FORMATS:
                found.setdefault(name, task.name)
    return [(task, name) for name, task in found.items()]
