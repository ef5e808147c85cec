"""``datakit doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datakit.experiment.doctor import Examination

__all__ = ["command"]

STYLES = {"ok": "green", "missing": "yellow", "warn": "yellow", "broken": "red"}
LEFT, WIDTH = 24, 80


@click.command("doctor", short_help="Look at this machine.")
@click.option("--offline", is_flag=True, help="Do not ask whether the hub answers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; the exit code tells.")
def command(offline: bool, as_json: bool, quiet: bool) -> None:
    """Look at this machine: packages, GPU, hub, disk. Changes nothing.

    Each line is ok, missing (optional, with the line that installs it), warn, or
    broken. Exit code 1 if something is broken, else 0.

    \b
    Examples:
      $ datakit doctor
      $ datakit doctor --offline --json
    """
    from dataclasses import asdict

    from datakit.cli.console import print_json
    from datakit.experiment.doctor import examine

    result = examine(offline=offline)
    if as_json:
        print_json(
            {
                "format": 1,
                "usable": result.usable,
                "install": result.install,
                "findings": [asdict(finding) for finding in result.findings],
            }
        )
    elif not quiet:
        _show(result)
    raise SystemExit(1 if result.broken else 0)


def _show(result: Examination) -> None:
    section = ""
    for finding in result.findings:
        if finding.section != section:
            section = finding.section
            click.secho(section, bold=True)
        _line(finding.name, finding.state, finding.text, finding.advice)
    click.secho("Usable", bold=True)
    for line in _joined([f"{use}: {'yes' if there else 'no'}" for use, there in result.usable.items()]):
        click.echo(f"  {line}")
    if result.install:
        click.echo(f"  the rest: {result.install}")


def _joined(parts: list[str]) -> list[str]:
    """The parts with dots between them, in lines that fit."""
    lines = [parts[0]]
    for part in parts[1:]:
        longer = f"{lines[-1]} · {part}"
        if len(longer) <= WIDTH - 2:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _line(name: str, state: str, text: str, advice: str | None) -> None:
    import textwrap

    lines = textwrap.wrap(text, WIDTH - LEFT, break_on_hyphens=False) or [""]
    if advice and advice.startswith(("pip install", "datakit ")):
        advice_lines = [advice]  # stays in one piece, to be copied
    else:
        advice_lines = textwrap.wrap(advice or "", WIDTH - LEFT, break_on_hyphens=False)
    mark = click.style(f"{state:8}", fg=STYLES[state])
    click.echo(f"  {name:13} {mark}{lines[0]}")
    for more in [*lines[1:], *advice_lines]:
        click.echo(" " * (LEFT if len(more) <= WIDTH - LEFT else max(2, WIDTH - len(more))) + more)
