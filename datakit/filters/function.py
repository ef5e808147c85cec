"""A user's own filter: a function that says why a row should go, or None.

def check(example: Example) -> str | None:
    return "too_short" if len(example.text or "") < 20 else None
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from datakit.core.errors import DatakitError, StepError
from datakit.core.example import Example, from_table
from datakit.core.hashing import digest
from datakit.core.modules import load_module
from datakit.core.registry import Registry, suggest
from datakit.core.step import Params, StepContext, StepOutput, entry, ledger_table

__all__ = ["FILTERS", "Check", "FilterParams", "FilterStep", "filter_table"]

Check = Callable[[Example], str | None]

FILTERS = Registry("datakit.filters")
"""Filters of installed packages: name to a :data:`Check`, or to a function that makes one from ``options``."""

_ROWS = 500  # that are sent to another process at a time
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")


class FilterParams(Params):
    """Parameters of ``filter``.

    Attributes:
        use: ``module:function`` (a module beside the recipe, or an installed one) or the name of a registered filter.
        options: Keyword arguments for every call of the function.
    """

    use: str
    options: dict[str, Any] = Field(default_factory=dict)


class FilterStep:
    """Drops the rows a function gives a reason for."""

    name: ClassVar[str] = "filter"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["row", "table"]] = "row"
    Params: ClassVar[type[Params]] = FilterParams

    def __init__(self, params: FilterParams, context: StepContext) -> None:
        self.params, self.context = params, context
        self.check = _load(params.use, context.folder)

    def fingerprint(self) -> str:
        """Hash of the source file the function stands in."""
        try:
            file = inspect.getsourcefile(inspect.unwrap(self.check))
        except TypeError:
            file = inspect.getsourcefile(type(self.check))
        return digest(Path(file).read_bytes()) if file else ""

    def apply(self, table: pa.Table) -> StepOutput:
        """Calls the function on every row."""
        workers = self.context.workers
        if workers.count < 2 or table.num_rows < 2 * _ROWS:
            return _filtered(table, lambda example: self.check(example, **self.params.options), self.params.use)
        # Taken, not sliced: a slice is sent with all that it was cut from.
        places = [range(start, min(start + _ROWS, table.num_rows)) for start in range(0, table.num_rows, _ROWS)]
        parts = [table.take(pa.array(rows, pa.int64())) for rows in places]
        made = workers.map(partial(_checked, self.params, self.context.folder), parts)
        return StepOutput(*(pa.concat_tables(several) for several in zip(*made, strict=True)))


def filter_table(table: pa.Table, check: Check) -> StepOutput:
    """The rows ``check`` gives no reason to drop, and the ledger of the others.

    Raises:
        StepError: The function failed on a row, or its reason is no slug.
    """
    return _filtered(table, check, getattr(check, "__name__", "filter"))


def _filtered(table: pa.Table, check: Callable[[Example], Any], name: str) -> StepOutput:
    keep: list[bool] = []
    dropped: list[dict[str, Any]] = []
    for example in from_table(table):
        try:
            reason = check(example)
        except Exception as error:
            where = f"{example.origin} (row {example.id[:12]})"
            raise StepError(f"the filter '{name}' failed: {type(error).__name__}: {error}", where=where) from error
        keep.append(reason is None)
        if reason is None:
            continue
        if not isinstance(reason, str) or not _SLUG.fullmatch(reason):
            raise StepError(
                f"the filter '{name}' returned {reason!r:.60}",
                where=f"{example.origin} (row {example.id[:12]})",
                hint="Return None to keep the row, or a reason of lower-case letters, digits, _ and -, never a text",
            )
        dropped.append(entry("filter", example.id, "dropped", reason, evidence={"filter": name}))
    return StepOutput(table.filter(pa.array(keep, pa.bool_())), ledger_table(dropped))


@cache
def _load_once(use: str, folder: Path) -> Callable[..., str | None]:
    return _load(use, folder)


def _checked(params: FilterParams, folder: Path, table: pa.Table) -> tuple[pa.Table, pa.Table]:
    check = _load_once(params.use, folder)
    output = _filtered(table, lambda example: check(example, **params.options), params.use)
    return output.table, output.ledger


def _load(use: str, folder: Path) -> Callable[..., str | None]:
    module_name, colon, attribute = use.partition(":")
    if not colon:
        try:
            found = FILTERS.load(use)
        except DatakitError as error:
            raise StepError(error.message, hint=f"{error.hint}. Or write module:function") from None
        return _callable(found, use)
    module = _module(module_name, folder, use)
    if not hasattr(module, attribute):
        functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise StepError(f"'{module_name}' has no function '{attribute}'", hint=suggest(attribute, functions))
    return _callable(getattr(module, attribute), use)


def _callable(found: Any, use: str) -> Callable[..., str | None]:
    if not callable(found):
        raise StepError(f"'{use}' is no function but a {type(found).__name__}")
    checked: Callable[..., str | None] = found
    return checked


def _module(name: str, folder: Path, use: str) -> Any:
    try:
        return load_module(name, folder)
    except ModuleNotFoundError as error:
        raise StepError(
            f"the filter '{use}' cannot be imported: {error}", hint=f"Modules may lie in '{folder}'"
        ) from error
    except (SyntaxError, ImportError) as error:
        raise StepError(f"the filter '{use}' cannot be imported: {type(error).__name__}: {error}") from error
