"""Compiles one template and renders rows with it; runs in the worker process, and in ours for shipped templates."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jinja2

from datakit.templates.environment import Format, NoFit, environment, integer_variables, is_random, variables
from datakit.templates.text import JinjaText, Prepared

__all__ = ["MAX_TEXT", "CompileError", "Compiled", "Facts", "TooLong", "explain", "seeded"]

MAX_TEXT = 32 << 20
"""Longest rendered text in characters; a row of 10 MB goes through, a text bomb does not."""

_SEPARATOR = "|||"
# promptsource's own constant: it stands for ||| in the data while the template's ||| are looked for.
_PROTECTOR = "3ed2dface8203c4c9dfb1a5dc58e41e0"


class CompileError(Exception):
    """A template with a syntax error; ``line`` counts inside the template's text."""

    def __init__(self, message: str, key: str, line: int | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.line = line


class TooLong(Exception):
    """The rendered text is longer than :data:`MAX_TEXT`."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a template before it renders.

    Attributes:
        random: Two renderings of a row may differ.
        variables: Names the row has to bring, sorted.
        integers: Those of them that are used as class numbers.
        choices: The answer choices, where they are the same for every row.
    """

    random: bool
    variables: tuple[str, ...]
    integers: tuple[str, ...]
    choices: tuple[str, ...] | None = None


class Compiled:
    """A template ready to render.

    Args:
        format: ``promptsource`` or ``datakit``.
        body: ``jinja`` and ``answer_choices``; or ``input``, ``target``, ``choices`` and ``system``.

    Raises:
        CompileError: A syntax error or an unknown filter.
    """

    def __init__(self, format: Format, body: Mapping[str, Any]) -> None:
        self.format = format
        self._environment = environment(format)
        self._texts: list[JinjaText] = []
        self._constant: list[str] | None = None
        self.has_fixed_choices = False
        if format == "promptsource":
            self._main = self._compile("jinja", body["jinja"])
            choices = body.get("answer_choices")
            self._choices = None if choices is None else self._compile("answer_choices", choices)
            self.has_fixed_choices = choices is not None and self._is_fixed(choices)
        else:
            self._input = self._compile("input", body["input"])
            self._target = self._compile("target", body["target"])
            system = body.get("system")
            self._system = None if system is None else self._compile("system", system)
            self._options = self._compile_options(body.get("choices"))

    def _compile(self, key: str, source: str) -> JinjaText:
        try:
            with seeded(0):
                self._texts.append(JinjaText(self._environment, source))
            return self._texts[-1]
        except jinja2.TemplateSyntaxError as error:
            raise CompileError(error.message or "syntax error", key, error.lineno) from None
        except (SyntaxError, RecursionError, MemoryError, OverflowError, ValueError, TypeError) as error:
            raise CompileError(f"{type(error).__name__}: {error}", key) from None

    def _is_fixed(self, source: str) -> bool:
        tree = self._environment.parse(source)
        return not variables(tree) and not is_random(tree)

    def _compile_options(self, choices: str | list[str] | None) -> Callable[[Mapping[str, Any]], list[str]] | None:
        if choices is None:
            return None
        if isinstance(choices, str):
            self._compile("choices", "{{ " + choices + " }}")
            expression = self._environment.compile_expression(choices, undefined_to_none=False)
            return lambda values: _option_list(expression(values))
        made = [self._compile("choices", source) for source in choices]
        return lambda values: [_text(text.prepared(), values).strip() for text in made]

    @property
    def facts(self) -> Facts:
        """What can be said without a row."""
        trees = [self._environment.parse(text.source) for text in self._texts]
        named = set().union(*(variables(tree) for tree in trees))
        integers: set[str] = set()
        if self.format == "promptsource":
            named.discard("answer_choices")
            integers = set().union(*(integer_variables(tree) for tree in trees)) & named
        fixed = tuple(self._answer_choices({}) or ()) if self.has_fixed_choices else None
        return Facts(any(map(is_random, trees)), tuple(sorted(named)), tuple(sorted(integers)), fixed)

    def render(self, row: Mapping[str, Any]) -> tuple[list[str], list[str] | None, str | None]:
        """Parts (two where the template fits the row), answer choices and system prompt.

        Raises:
            Exception: Whatever the template's expressions raise.
        """
        if self.format == "promptsource":
            # promptsource's order: it matters where both texts draw at random.
            main = self._main.prepared()
            values = _protected(row)
            if "answer_choices" in values:
                raise ValueError("the row has a column 'answer_choices', which is the template's own")
            choices = self._answer_choices(values)
            values["answer_choices"] = None if choices is None else list(choices)
            parts = _text(main, values).split(_SEPARATOR)
            return [part.replace(_PROTECTOR, _SEPARATOR).strip() for part in parts], choices, None
        return self._render_ours(row)

    def answer_choices(self, row: Mapping[str, Any]) -> list[str] | None:
        """The answer choices alone."""
        if self.format == "promptsource":
            return self._answer_choices(_protected(row))
        try:
            return None if self._options is None else self._options(row)
        except NoFit:
            return None

    def _answer_choices(self, values: Mapping[str, Any]) -> list[str] | None:
        if self._choices is None:
            return None
        if self._constant is not None:
            return list(self._constant)
        parts = _text(self._choices.prepared(), values).split(_SEPARATOR)
        found = [part.strip().replace(_PROTECTOR, _SEPARATOR) for part in parts]
        if self.has_fixed_choices:
            self._constant = list(found)
        return found

    def _render_ours(self, row: Mapping[str, Any]) -> tuple[list[str], list[str] | None, str | None]:
        try:
            prompt, answer = (
                _text(self._input.prepared(), row).strip(),
                _text(self._target.prepared(), row).strip(),
            )
            choices = None if self._options is None else self._options(row)
            system = None if self._system is None else _text(self._system.prepared(), row).strip()
        except NoFit:
            return [""], None, None
        return [prompt, answer], choices, system


def _text(template: Prepared, values: Mapping[str, Any]) -> str:
    text = template.render(values)
    if len(text) > MAX_TEXT:
        raise TooLong(f"the rendered text has {len(text)} characters, more than {MAX_TEXT}")
    return text


def _protected(row: Mapping[str, Any]) -> dict[str, Any]:
    if "self" in row:
        raise TypeError("the row has a column 'self', which Jinja keeps for itself")
    values = {}
    for key, value in row.items():
        if not isinstance(key, str):
            raise TypeError(f"column names are strings, not {type(key).__name__}")
        values[key] = value.replace(_SEPARATOR, _PROTECTOR) if isinstance(value, str) else value
    return values


def _option_list(value: Any) -> list[str]:
    if isinstance(value, jinja2.Undefined):
        str(value)
    if value is None:
        raise NoFit("choices is null")
    if isinstance(value, str | Mapping) or not hasattr(value, "__iter__"):
        raise TypeError(f"choices must be a list, not {type(value).__name__}")
    return [str(option).strip() for option in value]


class seeded:
    """Seeds the global generator, which promptsource's filters draw from, and puts its state back afterwards."""

    def __init__(self, seed: int | None) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        if self.seed is not None:
            self.state = random.getstate()
            random.seed(self.seed)

    def __exit__(self, *_: object) -> None:
        if self.seed is not None:
            random.setstate(self.state)


def explain(error: BaseException) -> str:
    """An exception as one short line, with the line of the template it came from where that is known."""
    if isinstance(error, CompileError):
        line = "" if error.line is None else f" (line {error.line} of its {error.key})"
        return " ".join(f"{error}{line}".split())[:400]
    kind, message = type(error).__name__, " ".join(str(error).split())[:300]
    if isinstance(error, MemoryError):
        return "it needs more memory than a template may have"
    line = ""
    trace = error.__traceback__
    while trace is not None:
        source = trace.tb_frame.f_globals.get("__jinja_template__")
        if source is not None:
            line = f" (line {source.get_corresponding_lineno(trace.tb_lineno)} of the template)"
        trace = trace.tb_next
    return re.sub(r"\s+", " ", f"{kind}: {message}{line}" if message else f"{kind}{line}")
