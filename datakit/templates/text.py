"""One Jinja text, compiled once, also where promptsource's way to render depends on compiling it every time.

Jinja evaluates constant expressions while it compiles. ``{{ ["a", "b"] | choice }}`` is one, so promptsource, which
compiles for every row, draws at that moment, before it renders anything. A text that draws while it compiles is kept
in one compiled variant per outcome of those draws; drawing again the same way says which variant a row gets.
"""

from __future__ import annotations

import random

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from datakit.templates.environment import draw, drawn

__all__ = ["JinjaText"]

_MAX_VARIANTS = 512


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
        self._variants: dict[tuple[int, ...], int | jinja2.Template] = {}
        self._template, draws = self._compile()
        self._draws = bool(draws)

    def template(self) -> jinja2.Template:
        """The template to render now; draws from the global generator as compiling it would."""
        return self._template if not self._draws else self._draw()

    def _compile(self) -> tuple[jinja2.Template, list[tuple[int, int]]]:
        before = len(drawn)
        template = self._environment.from_string(self.source)
        draws = drawn[before:]
        if len(self._variants) > _MAX_VARIANTS:
            self._variants.clear()
        chosen: tuple[int, ...] = ()
        for options, index in draws:
            self._variants[chosen] = options
            chosen = (*chosen, index)
        self._variants[chosen] = template
        return template, draws

    def _draw(self) -> jinja2.Template:
        state, before = random.getstate(), len(drawn)
        chosen: tuple[int, ...] = ()
        while True:
            known = self._variants.get(chosen)
            if known is None:
                random.setstate(state)
                del drawn[before:]
                return self._compile()[0]
            if isinstance(known, jinja2.Template):
                return known
            chosen = (*chosen, draw(known))
