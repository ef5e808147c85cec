"""``datakit ask``: one prompt, every model of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

__all__ = ["command"]


@click.command("ask", short_help="Put a prompt to the base and every arm.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("prompt", required=False)
@click.option("--example", "example", metavar="ID", help="Take the prompt of this example of the run's dataset.")
@click.option("--max-tokens", type=click.IntRange(1), default=64, show_default=True, help="Longest answer.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print answers without headings.")
def command(run: Path, prompt: str | None, example: str | None, max_tokens: int, as_json: bool, quiet: bool) -> None:
    """Answer a prompt with the base and all arms, side by side.

    Without a prompt, each line of standard input is one (an empty line ends).
    The prompt is put as it stands; --example takes one as it was trained.

    \b
    Examples:
      $ datakit ask runs/support "What is two plus three?"
      $ echo "Where is Anna?" | datakit ask runs/support
    """
    from datakit.cli.console import print_json
    from datakit.core.example import Message
    from datakit.core.require import own_package
    from datakit.experiment.ask import answer, example_prompt
    from datakit.experiment.layout import open_run

    own_package("train")
    layout = open_run(run)
    gold = None
    if example is not None:
        turns, gold = example_prompt(layout, example)
        prompts = [turns]
    else:
        prompts = [(Message("user", text),) for text in _prompts(prompt)]
    found = answer(layout, prompts, max_tokens=max_tokens)
    if as_json:
        rows = [{"prompt": [turn.content for turn in each.prompt], "answers": dict(each.answers)} for each in found]
        print_json({"format": 1, "gold": gold, "asked": rows})
        return
    for each in found:
        _show(each.prompt[-1].content, each.answers, gold, quiet=quiet)


def _prompts(prompt: str | None) -> list[str]:
    if prompt is not None:
        return [prompt]
    import sys

    lines: list[str] = []
    if sys.stdin.isatty():
        click.echo("prompt, one a line; an empty line ends:", err=True)
    for line in sys.stdin:
        if not line.strip():
            break
        lines.append(line.rstrip("\n"))
    if not lines:
        raise click.UsageError("no prompt: give one, or lines on standard input")
    return lines


def _show(prompt: str, answers: Mapping[str, str], gold: str | None, *, quiet: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from datakit.cli.console import console

    out = console()
    if not quiet:
        out.print(f"[bold]{escape(prompt)}[/bold]")
    table = Table(box=None, show_header=False, padding=(0, 1))
    if gold is not None:
        table.add_row("gold", escape(gold))
    for name, text in answers.items():
        table.add_row(escape(name), escape(text) if text else "(nothing)")
    out.print(table)
