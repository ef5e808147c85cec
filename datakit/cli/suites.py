"""``datakit suites``: the suites there are, and the tasks of one."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["command"]


@click.command("suites")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
def command(name: str | None, as_json: bool, quiet: bool) -> None:
    """List the suites there are, or the tasks of one.

    A task marked "never run here" was not run by this project's own tests:
    its data were not at hand, so its configuration is lm-eval's word alone.

    \b
    Examples:
      $ datakit suites
      $ datakit suites retain-core
    """
    from rich.table import Table

    from datakit.cli.console import console, print_json
    from datakit.core.require import own_package

    own_package("evalkit")
    from evalkit.suite import SUITES, load_suite

    screen = console(quiet=quiet or as_json)
    table = Table(box=None, pad_edge=False)
    if name is None:
        suites = {one: load_suite(one) for one in SUITES.names()}
        found: list[dict[str, Any]] = [
            {"suite": one, "tasks": len(suite.tasks), "description": suite.description} for one, suite in suites.items()
        ]
        titles: tuple[str, ...] = ("suite", "tasks", "description")
    else:
        suite = load_suite(name)
        found = [_told(task, suite.name) for task in suite.tasks]
        titles = ("task", "metric", "items", "margin", "note")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in found:
        table.add_row(*(str(row[title]) for title in titles))
    screen.print(table)
    if name is not None:
        screen.print(f"margin    {suite.margin} · {suite.margin_reason or 'no reason is given'}", markup=False)
    if as_json:
        print_json({"suites": found} if name is None else {"suite": name, "tasks": found})


def _told(task: Any, suite: str) -> dict[str, Any]:
    from evalkit.groups import GroupSource
    from evalkit.suites import RUN_HERE

    each = f" each of {len(task.source.members)}" if isinstance(task.source, GroupSource) else ""
    run = task.source.local or task.name in RUN_HERE
    return {
        "task": task.name,
        "metric": task.metric or "the task's own",
        "items": f"{task.limit or 'all'}{each}",
        "margin": task.margin,
        "run_here": run,
        "note": task.description if run else f"{task.description} · never run here".removeprefix(" · "),
    }
