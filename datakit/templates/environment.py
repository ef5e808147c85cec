"""The two sandboxed Jinja environments and what can be read off a template without rendering it.

``promptsource`` behaves as promptsource 0.2.3's environment does: lenient undefined values, the global ``zip`` and
the filters ``choice``, ``most_frequent`` and ``highlight``. The sandbox is the plain one, since about a tenth of its
templates change lists while they render. ``datakit`` is for our own format: a missing column is an error, and
printing a null says that the template does not fit the row.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Literal

from jinja2 import StrictUndefined, Undefined, meta, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

__all__ = [
    "Format",
    "NoFit",
    "begin",
    "draw",
    "drawn",
    "environment",
    "integer_variables",
    "is_random",
    "redraw",
    "set_source",
    "variables",
]

Format = Literal["promptsource", "datakit"]

_RANDOM_FILTERS = frozenset({"choice", "random"})


class NoFit(Exception):
    """A template of our format prints a value that this row does not have."""


drawn: list[tuple[int, int]] = []
"""(number of options, index drawn) of every random choice since :func:`begin`."""

_again: list[int] = []


def _from_generator(options: int) -> int:
    return random.choice(range(options))


_source: Callable[[int], int] = _from_generator


def begin() -> None:
    """Forgets earlier draws; whoever renders calls it."""
    drawn.clear()
    _again.clear()


def set_source(source: Callable[[int], int] | None) -> None:
    """Lets choices come from elsewhere than this process's global generator; None: from there again."""
    global _source
    _source = source or _from_generator


def draw(options: int) -> int:
    """An index, drawn from the global generator just as ``random.choice`` draws from so many options."""
    index = _again.pop(0) if _again else _source(options)
    drawn.append((options, index))
    return index


def redraw(before: int) -> None:
    """The choices made since ``drawn`` had this length come again, in their order, from the next :func:`draw` on."""
    _again[:] = [index for _, index in drawn[before:]]
    del drawn[before:]


def _choice(choices: Sequence[Any]) -> Any:
    """Promptsource's filter: one of the choices, from the global generator (seeded by whoever renders)."""
    return choices[draw(len(choices))]


@pass_context
def _random_item(context: Context, items: Sequence[Any]) -> Any:
    """Jinja's filter ``random``, with its draw written down."""
    return (
        items[draw(len(items))] if len(items) else context.environment.undefined("No random item, sequence was empty.")
    )


def _most_frequent(items: Iterable[Any]) -> list[Any] | None:
    """Promptsource's filter: all items that occur as often as the most frequent one, in order of appearance."""
    if not items:
        return None
    counts = Counter(items).most_common()
    return [item for item, count in counts if count == counts[0][1]]


def _highlight(text: str) -> str:
    """Promptsource's filter, meant for its web page."""
    return "<span style='color: #F08080'>" + text + "</span>"


def _to_json(value: Any) -> str:
    """JSON for a prompt; Jinja's own filter escapes Hangul and what HTML reserves."""
    return json.dumps(value, ensure_ascii=False)


def _present(value: Any) -> Any:
    if value is None:
        raise NoFit("a printed column is null")
    return value


@cache
def environment(format: Format) -> SandboxedEnvironment:
    """The environment of a format; made on first use."""
    if format == "promptsource":
        made = SandboxedEnvironment(undefined=Undefined)
    else:
        # Templates of ours are written as YAML blocks: a line that holds only a tag shall leave no empty line.
        made = SandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_present, autoescape=False
        )
        made.filters["tojson"] = _to_json
    made.globals["zip"] = zip
    made.filters.update(choice=_choice, most_frequent=_most_frequent, highlight=_highlight, random=_random_item)
    del made.globals["lipsum"]  # it draws, and no template needs it
    return made


def variables(tree: nodes.Template) -> set[str]:
    """Names that the row has to bring."""
    return set(meta.find_undeclared_variables(tree)) - {"zip"}


def is_random(tree: nodes.Node) -> bool:
    """Whether two renderings of the same row may differ."""
    return any(found.name in _RANDOM_FILTERS for found in tree.find_all(nodes.Filter))


def integer_variables(tree: nodes.Template) -> set[str]:
    """Variables that a promptsource template treats as a class number.

    A variable counts unless every use of it is that of a word: printed as it is, compared with a string, looked up
    among strings, or a key of a dictionary whose keys are strings.
    """
    words = {id(node) for node in _word_uses(tree)}
    return {
        name.name for name in tree.find_all(nodes.Name) if name.ctx == "load" and id(name) not in words
    } & variables(tree)


def _word_uses(tree: nodes.Template) -> Iterable[nodes.Node]:
    for output in tree.find_all(nodes.Output):
        yield from output.nodes
    for comparison in tree.find_all(nodes.Compare):
        sides = [comparison.expr, *(operand.expr for operand in comparison.ops)]
        if any(_is_text(side) for side in sides):
            yield from sides
    for item in tree.find_all(nodes.Getitem):
        yield item.node
        if isinstance(item.node, nodes.Dict) and all(_is_text(pair.key) for pair in item.node.items):
            yield item.arg
    for attribute in tree.find_all(nodes.Getattr):
        yield attribute.node
    for loop in tree.find_all(nodes.For):
        yield loop.iter


def _is_text(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Const):
        return isinstance(node.value, str)
    if isinstance(node, nodes.List | nodes.Tuple):
        return bool(node.items) and all(_is_text(item) for item in node.items)
    return False
