"""``datakit check``: what a recipe will do, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datakit.experiment.needs import Need
    from datakit.experiment.recipe import Recipe

__all__ = ["command"]

_NO_BREAK = "\u00a0"
_ROW = 300  # characters of a row that are shown


@click.command("check", short_help="Say what a recipe will do.")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors; the exit code tells.")
def command(recipe: Path, as_json: bool, quiet: bool) -> None:
    """Read a recipe, build its data in a temporary folder, try a few steps.

    Prints rows per step, three rows with their trained tokens marked, what
    was checked in them and in the model, time, memory and disk, the defaults it takes and why, and the chance that an
    unchanged model would pass the gate. Nothing is kept.

    \b
    Examples:
      $ datakit check support.yaml
    """
    import shlex
    from dataclasses import asdict

    from datakit.cli.console import console, print_json
    from datakit.cli.progress import listening
    from datakit.experiment.plan import check
    from datakit.experiment.preview import preview
    from datakit.experiment.recipe import read_recipe
    from datakit.experiment.summary import build_lines

    read = read_recipe(recipe)
    with listening(quiet=quiet, to_stderr=as_json) as listen:
        plan = check(read, listen=listen)
    if as_json:
        facts = {key: item for key, item in asdict(plan).items() if key != "built"}
        print_json({"format": 1, "recipe": read.name, "splits": dict(plan.built.splits), **facts})
        return
    out = console(quiet=quiet)

    def say(head: str, text: str) -> None:
        from rich.markup import escape

        out.print(f"[bold]{head:<9}[/bold] {escape(text)}", soft_wrap=True)

    for number, line in enumerate(build_lines(plan.built)):
        say("build" if number == 0 else "", line)
    for number, pieces in enumerate(plan.preview):
        say("rows" if number == 0 else "", preview(pieces, _ROW))
    passed, notes = _checks(plan.checks)
    say("checks", passed)
    for note in notes:
        say("", note)
    seconds = plan.train_seconds + plan.evaluate_seconds
    say("time", f"{_span(seconds)}: train {_span(plan.train_seconds)}, evaluate {_span(plan.evaluate_seconds)}")
    if elsewhere := _elsewhere(read):
        say("", f"{', '.join(elsewhere)}: timed with our own loop, trained by another backend")
    for number, line in enumerate(_memory(plan.estimates)):
        say("memory" if number == 0 else "", line)
    say("", f"{_bytes(plan.peak_memory)} at most while measuring · disk {_bytes(plan.disk)}")
    say("network", _network(plan.needs))
    if plan.judged is not None:
        say(
            "judge", f"up to {plan.judged[0]:,} answers go to {plan.judged[1]}; a few of the base's went there just now"
        )
    if plan.unchanged_passes is not None:
        say("gate", f"an unchanged model passes with a chance of {plan.unchanged_passes:.0%}")
    for number, (key, value, reason) in enumerate(plan.defaults):
        say("defaults" if number == 0 else "", f"{key}: {value} ({reason})")
    say("next", f"datakit run {shlex.quote(str(recipe))}")


def _checks(checks: Sequence[tuple[str, str, bool, str]]) -> tuple[str, list[str]]:
    """What passed in every arm, by name, and what is to be said of the others, each once."""
    failed = {name for _, name, passed, _ in checks if not passed}
    names = [name for name in dict.fromkeys(name for _, name, _, _ in checks) if name not in failed]
    notes: dict[str, list[str]] = {}
    for arm, name, passed, text in checks:
        if not passed:
            notes.setdefault(f"{name}: {text}", []).append(arm)
    return f"passed: {', '.join(names) or 'none'}", [f"{text} ({', '.join(arms)})" for text, arms in notes.items()]


def _memory(estimates: Sequence[tuple[str, int, int]]) -> list[str]:
    """What each arm takes, and what is free; on lines that fit beside the head in 80 columns."""
    import textwrap

    free = min(free for _, _, free in estimates)
    wanted = [f"{arm} {_bytes(peak)}" for arm, peak, _ in estimates]
    text = f"for training about {' · '.join(part.replace(' ', _NO_BREAK) for part in wanted)}; {_bytes(free)} are free"
    return [line.replace(_NO_BREAK, " ") for line in textwrap.wrap(text, 70)]


def _elsewhere(recipe: Recipe) -> list[str]:
    """Arms that another backend trains; what is measured of them is our own loop."""
    parts = [stage.arms for stage in recipe.stages] or [recipe.arms]
    named = {name: arm.chosen_backend[0] for arms in parts for name, arm in arms.items()}
    return [name for name, backend in named.items() if backend != "native"]


def _network(needs: Sequence[Need]) -> str:
    """What is fetched; by the time the plan is told, it has been."""
    fetched = [need for need in needs if not need.here]
    if fetched:
        return "fetched just now: " + ", ".join(f"{need.kind} {need.name}" for need in fetched)
    return f"nothing is fetched; from elsewhere and here already: {len(needs)}" if needs else "nothing is fetched"


def _bytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
