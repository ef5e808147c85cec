"""A template: what it says, where it stands, and how rows are rendered with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, NamedTuple

from datakit.core.errors import TemplateError
from datakit.core.hashing import json_digest
from datakit.templates.environment import Format, begin
from datakit.templates.render import Compiled, CompileError, Facts, explain, seeded
from datakit.templates.sandbox import Request, Sandbox, shared_sandbox
from datakit.templates.wire import FIXED

__all__ = ["Rendering", "Template"]


class Rendering(NamedTuple):
    """What a template made of one row.

    Attributes:
        parts: Prompt and answer. Another number of parts, or an empty one, means that the template does not fit.
        choices: The answers to choose from, where the template names them.
        system: System prompt, where the template has one.
        error: Why the row could not be rendered; then ``parts`` is empty.
    """

    parts: tuple[str, ...] = ()
    choices: tuple[str, ...] | None = None
    system: str | None = None
    error: str | None = None

    @property
    def misfit(self) -> str | None:
        """Why the template does not fit the row, as a slug; None where it does."""
        if self.error is not None:
            return "error"
        if len(self.parts) != 2:
            return "no_answer" if len(self.parts) < 2 else "many_parts"
        return None if all(self.parts) else "empty_answer" if self.parts[0] else "empty_prompt"


@dataclass(eq=False, slots=True)
class Template:
    """One wording, in promptsource's format or in ours.

    Attributes:
        name: Unique in its file.
        format: ``promptsource`` or ``datakit``.
        body: Its texts: ``jinja``, ``answer_choices``; or ``input``, ``target``, ``choices``, ``system``.
        origin: ``file:line``.
        trusted: Shipped with datakit; rendered in this process. All others are rendered in a worker process with
            limits on memory and time.
        collection: Which file or dataset it belongs to: ``classify.ko``, ``promptsource:glue/mrpc``, a path.
        id, reference, metadata: As in promptsource's file.
        task, language: As in our format's file.
    """

    name: str
    format: Format
    body: Mapping[str, Any]
    origin: str = ""
    trusted: bool = False
    collection: str = ""
    id: str = ""
    reference: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    task: str = ""
    language: str = ""
    digest: str = field(init=False)
    _facts: Facts | None = field(init=False, repr=False, default=None)
    _compiled: Compiled | None = field(init=False, repr=False, default=None)
    _request: Request = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.digest = json_digest([self.format, dict(self.body)])
        self._request = Request(self.digest, self.format, self.body, self.name)

    @property
    def key(self) -> str:
        """Name with its collection: what a dataset's column ``template`` says."""
        return f"{self.collection}/{self.name}" if self.format == "datakit" else f"{self.collection}:{self.name}"

    @property
    def jinja(self) -> str | None:
        """The text of a promptsource template."""
        return self.body.get("jinja")

    @property
    def answer_choices(self) -> str | None:
        """The expression for answer choices of a promptsource template."""
        return self.body.get("answer_choices")

    def facts(self, *, sandbox: Sandbox | None = None) -> Facts:
        """Variables and randomness; compiles the template.

        Raises:
            TemplateError: It does not compile: file, line and name.
        """
        if self._facts is None:
            self._facts = self._look(sandbox or shared_sandbox())
        return self._facts

    def _look(self, sandbox: Sandbox) -> Facts:
        if self.trusted:
            return self._compile().facts
        found = sandbox.facts(self._request)
        if "error" in found:
            raise self._error(found["error"])
        choices = found["choices"]
        fixed = None if choices is None else tuple(choices)
        return Facts(found["random"], tuple(found["variables"]), tuple(found["integers"]), fixed)

    def apply(self, row: Mapping[str, Any], *, seed: int | None = None) -> list[str]:
        """Renders one row: prompt and answer, as promptsource's ``apply(row, truncate=False)``.

        Args:
            row: Values by column name.
            seed: For templates that choose at random; without it they draw from the global ``random``.

        Returns:
            Two parts. Fewer or more mean that the template does not fit this row.

        Raises:
            TemplateError: It does not compile, a column is missing (our format), an expression fails, or it was
                stopped for its use of time or memory.
        """
        return self._one(row, seed, choices=False) or []

    def get_answer_choices_list(self, row: Mapping[str, Any], *, seed: int | None = None) -> list[str] | None:
        """The answers to choose from for this row; None where the template names none. Raises as :meth:`apply`."""
        return self._one(row, seed, choices=True)

    def render(
        self, rows: Sequence[Mapping[str, Any]], *, seeds: Sequence[int] | None = None, sandbox: Sandbox | None = None
    ) -> list[Rendering]:
        """Renders many rows; a row that fails has its error in its place.

        Args:
            rows: Values by column name.
            seeds: A seed per row, used where the template is random.
            sandbox: Where templates that are not ours run; the shared one by default.

        Raises:
            TemplateError: The template does not compile.
        """
        if not rows:
            return []
        facts = self.facts(sandbox=sandbox)
        if not facts.random:
            seeds = None
        if self.trusted:
            outcomes = self._render_here(rows, seeds)
        else:
            box = sandbox or shared_sandbox()
            outcomes = box.render(self._request, rows, seeds=seeds, share_random=facts.random and seeds is None)
        return [self._rendering(outcome, row) for outcome, row in zip(outcomes, rows, strict=True)]

    def _one(self, row: Mapping[str, Any], seed: int | None, *, choices: bool) -> list[str] | None:
        facts = self._facts or self.facts()
        outcome: Any
        if self.trusted:
            outcome = self._here(row, seed if facts.random else None, choices)
            if type(outcome) is not str:
                outcome = outcome[1 if choices else 0]
        elif facts.random:
            outcome = shared_sandbox().one(self._request, row, seed=seed, share_random=seed is None, choices=choices)
        else:
            outcome = shared_sandbox().one(self._request, row, seed=None, share_random=False, choices=choices)
        if type(outcome) is str:
            raise TemplateError(f"template '{self.name}' failed: {self._said(outcome, row)}", where=self.origin or None)
        made: list[str] | None = outcome
        return made

    def _said(self, error: str, row: Mapping[str, Any]) -> str:
        if self.format == "datakit" and error.startswith("UndefinedError"):
            return f"{error}; the row has the columns {', '.join(sorted(map(str, row)))}"
        return error

    def _rendering(self, outcome: Any, row: Mapping[str, Any]) -> Rendering:
        if isinstance(outcome, str):
            return Rendering(error=self._said(outcome, row))
        parts, choices, system = outcome
        if choices == FIXED and self._facts is not None:
            return Rendering(tuple(parts), self._facts.choices, system)
        return Rendering(tuple(parts), None if choices is None else tuple(choices), system)

    def _render_here(self, rows: Sequence[Mapping[str, Any]], seeds: Sequence[int] | None) -> list[Any]:
        chosen = seeds if seeds is not None else repeat(None)
        return [self._here(row, seed, choices=False) for row, seed in zip(rows, chosen, strict=False)]

    def _here(self, row: Mapping[str, Any], seed: int | None, choices: bool) -> Any:
        compiled = self._compile()
        begin()
        try:
            with seeded(seed):
                return ([], compiled.answer_choices(row), None) if choices else compiled.render(row)
        except Exception as error:  # whatever the template's expressions raise belongs to this row
            return explain(error)

    def _compile(self) -> Compiled:
        if self._compiled is None:
            try:
                self._compiled = Compiled(self.format, self.body)
            except CompileError as error:
                raise self._error(explain(error)) from None
        return self._compiled

    def _error(self, text: str) -> TemplateError:
        return TemplateError(f"template '{self.name}' does not compile: {text}", where=self.origin or None)
