"""Reports of synthetic runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from evalkit.log import ITEMS, EvalLog
from evalkit.report import Report, from_logs


@pytest.fixture
def make_report(suite_logs) -> Callable[..., Report]:
    """A report of made-up arms; keywords of ``from_logs`` and of the logs."""

    def make(arms=None, *, rows=None, log_options=None, **facts) -> Report:
        logs = suite_logs(arms, **(log_options or {}))
        if rows is not None:
            logs = {name: altered(log, rows) for name, log in logs.items()}
        entries = {(name, 1): [log] for name, log in logs.items() if name != "base"}
        return from_logs([logs["base"]], entries, title=facts.pop("title", "support"), **facts)

    return make


def altered(log: EvalLog, rows) -> EvalLog:
    """The log with every row changed."""
    table = pa.Table.from_pylist([rows(dict(row)) for row in log.items.to_pylist()], schema=ITEMS)
    return EvalLog(log.header, table)


@pytest.fixture
def run_folder(tmp_path: Path, suite_logs) -> Path:
    """A finished run ``runs/support`` with arms full and lora."""
    run = tmp_path / "runs" / "support"
    for name, log in suite_logs().items():
        log.write(run / "evals" / ("base" if name == "base" else f"{name}-1"))
    return run
