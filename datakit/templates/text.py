"""One Jinja text, compiled once, also where promptsource's way to render depends on compiling it every time.

Jinja evaluates constant expressions while it compiles. ``{{ ["a", "b"] | choice }}`` is one, so promptsource, which
compiles for every row, draws at that moment, before it renders anything. A text that draws while it compiles is kept
in one compiled variant per outcome of those draws; drawing again the same way says which variant a row gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from datakit.templates.environment import draw, drawn, redraw

__all__ = ["JinjaText", "Prepared"]

_MAX_VARIANTS = 512


class Prepared:
    """A compiled Jinja template with a context that is used again for every row.

    Making a context takes longer than many a template takes to render.

    Args:
        template: Without loader, includes and parents.
    """

    def __init__(self, template: jinja2.Template) -> None:
        self._template = template
        self._root = template.root_render_func
        self._globals = dict(template.environment.globals)
        self._context: jinja2.runtime.Context | None = None

    def render(self, values: Mapping[str, Any]) -> str:
        """The text for these values.

        Raises:
            Exception: Whatever the template's expressions raise.
        """
        context = self._context or self._template.new_context({}, shared=True)
        self._context = None  # one that an error left half-way is not used again
        context.parent = {**self._globals, **values}
        text = "".join(self._root(context))
        context.parent = {}
        if context.vars:
            context.vars.clear()
            context.exported_vars.clear()
        self._context = context
        return text


class JinjaText:
    """A compiled text.

    Args:
        environment: The sandbox it is compiled for.
        source: The text.

    Raises:
        jinja2.TemplateSyntaxError: With the line.
    """

    def __init__(self, environment: SandboxedEnvironment, source: str) -> None:
        self.source = source
        self._environment = environment
        # Outcomes of the draws so far -> number of options of the next draw, or the finished template.
        self._variants: dict[tuple[int, ...], int | Prepared] = {}
        self._template, draws = self._compile()
        self._draws = bool(draws)

    def prepared(self) -> Prepared:
        """The variant to render now; draws from the global generator as compiling it would."""
        return self._template if not self._draws else self._draw()

    def _compile(self) -> tuple[Prepared, list[tuple[int, int]]]:
        before = len(drawn)
        template = Prepared(self._environment.from_string(self.source))
        draws = drawn[before:]
        if len(self._variants) > _MAX_VARIANTS:
            self._variants.clear()
        chosen: tuple[int, ...] = ()
        for options, index in draws:
            self._variants[chosen] = options
            chosen = (*chosen, index)
        self._variants[chosen] = template
        return template, draws

    def _draw(self) -> Prepared:
        before = len(drawn)
        chosen: tuple[int, ...] = ()
        while True:
            known = self._variants.get(chosen)
            if known is None:
                redraw(before)
                return self._compile()[0]
            if isinstance(known, Prepared):
                return known
            chosen = (*chosen, draw(known))
