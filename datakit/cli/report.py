"""``datakit report``: the report of a run, written again from its logs."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command(name="report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to (the run).")
@click.option("--arm", help="Only this arm.")
@click.option(
    "--format", "formats", metavar="NAMES", help="Write these too, joined by commas: csv latex svg pdf junit card."
)
@click.option("--seed", default=0, show_default=True, help="Seed of permutations and bootstraps.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
def command(
    run: Path, output: Path | None, arm: str | None, formats: str | None, seed: int, as_json: bool, quiet: bool
) -> None:
    """Write report.html, report.md and report.json again from a run's logs.

    Reads logs only: no model is loaded, and a few seconds are enough. --format
    adds a table (csv, latex), figures (svg), the printed page (pdf, by Chromium),
    a test report (junit) or model cards with a model-index (card).

    \b
    Examples:
      $ datakit report runs/support
      $ datakit report runs/support --format csv,latex,svg -o paper
      $ datakit report runs/support --json
    """
    from datakit.cli.console import console, print_json
    from datakit.core.require import own_package
    from datakit.experiment.layout import evaluated

    own_package("evalkit")
    run = evaluated(run)
    from evalkit.report import from_run, write_formats, write_report
    from evalkit.report.data import document
    from evalkit.report.terminal import lines

    report = from_run(run, arm=arm, seed=seed)
    paths = write_report(report, output or run)
    more = write_formats(report, output or run, formats.replace(" ", "").split(",") if formats else ())
    if as_json:
        print_json(document(report))
        return
    out = console(quiet=quiet)
    for line in [*lines(report), f"report    {paths['html']} · pull request: {paths['md'].name}"]:
        out.print(line, markup=False, soft_wrap=True)
    for path in more:
        out.print(f"{path.suffix.lstrip('.'):<10}{path}", markup=False, soft_wrap=True)
