"""``datakit gate``: an exit code for a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from evalkit.report import Report

__all__ = ["command"]


@click.command(name="gate")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--arm", help="Only this arm; otherwise the worst arm decides.")
@click.option("--allow-unsure", is_flag=True, help="Exit with 0 where there are not enough items to say.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write a JUnit file, a case per task.")
@click.option("--summary", type=click.Path(path_type=Path, dir_okay=False), help="Append report.md to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; the exit code says it.")
def command(
    run: Path,
    arm: str | None,
    allow_unsure: bool,
    junit: Path | None,
    summary: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Exit 0 if nothing regressed, 3 if something did, 4 if there are not enough items to say.

    Looks at the general tasks of the run's logs, never at the task that was trained.
    --summary "$GITHUB_STEP_SUMMARY" shows the report on a GitHub job's page.

    \b
    Examples:
      $ datakit gate runs/support --arm lora
      $ datakit gate runs/support --junit junit.xml --summary summary.md
      $ datakit gate runs/support --allow-unsure --json
    """
    from datakit.cli.console import console, print_json
    from datakit.core.require import own_package
    from datakit.experiment.layout import evaluated

    own_package("evalkit")
    run = evaluated(run)
    from evalkit import gate
    from evalkit.report import from_run

    report = from_run(run, arm=arm)
    _write(report, junit, summary, allow_unsure=allow_unsure)
    answers = [(result, gate(result.comparison, allow_unsure=allow_unsure)) for result in report.arms]
    severity = {"pass": 0, "unsure": 1, "regressed": 2}
    worst = max((answer for _, answer in answers), key=lambda answer: severity[answer.status])
    if as_json:
        arms = [
            {
                "name": result.name,
                "seed": result.seed,
                "status": answer.status,
                "exit_code": answer.exit_code,
                "sentence": answer.sentence,
            }
            for result, answer in answers
        ]
        print_json({"status": worst.status, "exit_code": worst.exit_code, "arms": arms})
        return worst.exit_code
    out = console(quiet=quiet)
    for result, answer in answers:
        line = f"{answer.status.upper():<10}{report.label(result)}: {answer.sentence}"
        out.print(line, markup=False, soft_wrap=True)
    return worst.exit_code


def _write(report: Report, junit_file: Path | None, summary: Path | None, *, allow_unsure: bool) -> None:
    from datakit.core.storage import storage_errors, write_text
    from evalkit.report.junit import junit
    from evalkit.report.markdown import markdown

    if junit_file is not None:
        write_text(junit_file, junit(report, allow_unsure=allow_unsure))
    if summary is not None:
        with storage_errors(summary), summary.open("a", encoding="utf-8") as stream:
            stream.write(markdown(report))
