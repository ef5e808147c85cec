"""lm-eval's own tasks by name, found by a quick look at its files instead of its index, which takes ten seconds."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datakit.core.errors import Unreachable
from datakit.core.require import require
from evalkit.errors import EvalError
from evalkit.groups import GroupSource, leaves
from evalkit.source import Setup, docs_digest

__all__ = ["BuiltinSource", "builtin_source", "config_keys", "task_files", "task_tags"]

_NAME = re.compile(rb"^[\"']?(task|group)[\"']?:[ \t]*[\"']?([^\s\"'#\[\]]+)", re.MULTILINE)
_TAG = re.compile(rb"^[\"']?tag[\"']?:[ \t]*([^\n#]*)((?:\n[ \t]*-[^\n]*)*)", re.MULTILINE)


@functools.cache
def task_files() -> dict[str, tuple[str, Path]]:
    """Name to (``task`` or ``group``, its file) of all that lm-eval brings along."""
    package = require("lm_eval", extra="eval")
    found: dict[str, tuple[str, Path]] = {}
    for path in sorted((Path(package.__file__).parent / "tasks").rglob("*.yaml")):
        hits = dict(_NAME.findall(path.read_bytes()))
        kind = "group" if b"group" in hits else "task"
        if name := hits.get(kind.encode()):
            found.setdefault(name.decode(), (kind, path))
    return found


@functools.cache
def task_tags() -> dict[str, list[str]]:
    """Tag to the names of lm-eval's tasks that carry it."""
    found: dict[str, list[str]] = {}
    for name, (kind, path) in task_files().items():
        for line, rows in _TAG.findall(path.read_bytes()) if kind == "task" else ():
            for tag in re.findall(r"[\w.+-]+", (line + rows.replace(b"- ", b" ")).decode()):
                found.setdefault(tag, []).append(name)
    return found


@functools.cache
def config_keys() -> list[str]:
    """Keys of a task's configuration in the installed lm-eval."""
    from dataclasses import fields

    require("lm_eval", extra="eval")
    from lm_eval.config.task import TaskConfig

    return [item.name for item in fields(TaskConfig)]


@dataclass(frozen=True, slots=True)
class BuiltinSource:
    """A task that lm-eval brings along; its data come from the hub or from the hub's cache.

    Attributes:
        name: lm-eval's name.
        path: lm-eval's file.
    """

    name: str
    path: Path

    rendered = False
    local = False

    def identity(self) -> Any:
        """The name and the items themselves."""
        return {"name": self.name, "docs": docs_digest(self)}

    def build(self, setup: Setup) -> Any:
        """lm-eval's task object.

        Raises:
            Unreachable: The hub does not answer and its cache lacks the data.
            EvalError: lm-eval cannot make the task.
        """
        from lm_eval.tasks import TaskManager

        try:
            task = next(iter(TaskManager(include_defaults=False).load([str(self.path)])["tasks"].values()))
        except (ConnectionError, FileNotFoundError) as error:
            raise Unreachable(
                f"the data of '{self.name}' are not in the cache and the hub does not answer ({_first_line(error)})",
                hint="Load them once where there is a network, or write a task file over local data",
            ) from None
        except (ValueError, KeyError, TypeError, ImportError, OSError) as error:
            raise EvalError(f"lm-eval cannot make the task '{self.name}': {_first_line(error)}") from error
        return task


def builtin_source(name: str, *, where: str | None = None) -> BuiltinSource | GroupSource:
    """A task, or a group as one task, by its name.

    Raises:
        EvalError: No task of that name.
    """
    import difflib

    known, tags = task_files(), task_tags()
    if name not in known and name not in tags:
        near = difflib.get_close_matches(name, known, n=4)
        hint = f"Did you mean {', '.join(near)}?" if near else "A task file ends in .yaml"
        raise EvalError(f"lm-eval has no task '{name}'", where=where, hint=hint)
    kind, path = known.get(name, ("tag", Path()))
    if kind == "task":
        return BuiltinSource(name, path)
    return GroupSource(name, {leaf: BuiltinSource(leaf, known[leaf][1]) for leaf in leaves(name, known, tags)})


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
