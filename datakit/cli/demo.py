"""``datakit demo``: the whole loop on a small model."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("demo", short_help="See the whole loop on a small model.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Folder."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of data, training and evaluation.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json on stdout, progress on stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(output: Path, seed: int, as_json: bool, quiet: bool) -> None:
    """Teach a small model a new task in four ways and see what each forgot.

    Everything is in the package: no network, no GPU, a few minutes on two cores.
    The folder holds the raw input, the recipe and report.html.

    \b
    Examples:
      $ datakit demo -o demo
    """
    import sys
    import time

    from datakit.cli.console import console
    from datakit.cli.progress import listening
    from datakit.cli.result import show
    from datakit.experiment.demo import demo, lesson

    start = time.monotonic()
    with listening(quiet=quiet, to_stderr=as_json) as listen:
        result = demo(output, seed=seed, listen=listen)
    if as_json:
        sys.stdout.write((result.folder / "report.json").read_text(encoding="utf-8"))
        return
    show(result, quiet=quiet, forgotten=3)
    out = console(quiet=quiet)
    out.print(f"[bold]lesson   [/bold] {lesson(result).sentence()}", soft_wrap=True)
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    out.print(f"[bold]took     [/bold] {minutes}:{seconds:02d}")
    folder = result.folder
    out.print(
        "\n[bold]Three things to try[/bold]\n"
        f"  datakit ask {folder} --example ''      what the base and every arm answer\n"
        f"  datakit gate {folder} --arm full       what continuous integration would see\n"
        "  datakit init YOUR_FILE.csv            a recipe for your own data",
        soft_wrap=True,
    )
