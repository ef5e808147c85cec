"""Groups of lm-eval (mmlu, blimp, haerae): all their tasks as one row, items pooled.

One row and not one per subtask: a group of 57 subjects would cost every other task of a suite its power in the
correction for many comparisons, and lm-eval's own figure of most groups weights by items too. Each item's id begins
with its subtask, so that the subjects can be looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from evalkit.errors import EvalError
from evalkit.store import Entry

if TYPE_CHECKING:
    from evalkit.source import Setup, TaskSource

__all__ = ["GroupSource", "leaves", "members", "pooled"]


@dataclass(frozen=True, slots=True)
class GroupSource:
    """Several tasks that are reported as one.

    Attributes:
        name: Of the group.
        members: Subtask to its source.
    """

    name: str
    members: Mapping[str, TaskSource]

    rendered = False

    @property
    def local(self) -> bool:
        """Whether all members' data are files here."""
        return all(source.local for source in self.members.values())

    def identity(self) -> Any:
        """Of every member."""
        return {name: source.identity() for name, source in self.members.items()}

    def build(self, setup: Setup) -> Any:
        """A group is no task of lm-eval.

        Raises:
            EvalError: Always; its members are built one by one.
        """
        raise EvalError(f"'{self.name}' is a group", hint=f"Name one of its {len(self.members)} tasks")


def members(source: TaskSource) -> list[TaskSource]:
    """The sources of a group, or the one source there is."""
    return list(source.members.values()) if isinstance(source, GroupSource) else [source]


def leaves(name: str, known: Mapping[str, tuple[str, Path]], tags: Mapping[str, Sequence[str]]) -> list[str]:
    """Tasks of a group, groups within it and tags resolved, each once, sorted.

    Raises:
        EvalError: A member that lm-eval does not have.
    """
    import yaml  # type: ignore[import-untyped]

    class Plain(yaml.SafeLoader):  # type: ignore[misc]
        """lm-eval's own tags are of no interest here."""

    Plain.add_multi_constructor("!", lambda loader, suffix, node: None)
    found: set[str] = set()
    waiting, seen = [name], set()
    while waiting:
        member = waiting.pop()
        if member in seen:
            continue
        seen.add(member)
        kind, path = known.get(member, ("", Path()))
        if kind == "task":
            found.add(member)
        elif kind == "group":
            listed = yaml.load(path.read_text("utf-8"), Loader=Plain)["task"]
            for one in [listed] if isinstance(listed, str) else listed:
                own = one if isinstance(one, str) else one.get("task", one.get("group"))
                waiting += [own] if isinstance(own, str) else [part for part in own or () if isinstance(part, str)]
        elif member in tags:
            waiting += tags[member]
        else:
            raise EvalError(f"the group '{name}' names '{member}', which lm-eval does not have")
    return sorted(found)


def pooled(task: Any, evaluate: Callable[[Any], Entry]) -> Entry:
    """The entries of a group's members as one.

    Args:
        task: A suite's task whose source is a :class:`GroupSource`; its limit holds for each member.
        evaluate: Gives the entry of one member, as a suite's task.
    """
    entries = {name: evaluate(replace(task, source=source)) for name, source in task.source.members.items()}
    tables = [_named(name, entry.items) for name, entry in entries.items()]
    first = next(iter(entries.values()))
    sizes = {name: int(pc.sum(entry.items.column("is_primary")).as_py()) for name, entry in entries.items()}
    chance = sum(entry.info.chance * sizes[name] for name, entry in entries.items()) / sum(sizes.values())
    recorded: dict[str, Any] = {
        key: sum(entry.recorded[key] for entry in entries.values()) for key in ("seconds", "requests", "cut_contexts")
    }
    recorded |= {"batch_tokens": first.recorded["batch_tokens"], "members": sizes}
    settings = {key: value for key, value in first.settings.items() if key != "generation"}
    settings["generation"] = {name: entry.settings["generation"] for name, entry in entries.items()}
    return Entry(replace(first.info, chance=chance), pa.concat_tables(tables), settings, recorded)


def _named(member: str, items: pa.Table) -> pa.Table:
    for name in ("item_id", "cluster"):
        values = [f"{member}/{value}" for value in items.column(name).to_pylist()]
        items = items.set_column(items.column_names.index(name), name, pa.array(values, pa.string()))
    return items
