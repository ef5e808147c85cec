"""``datakit pii``: personal data in plain files replaced, or only how much of it would be found."""

from __future__ import annotations

import json
from typing import Any, Final

import click

from datakit.cli.options import StepCommand
from datakit.cli.plain import writing_options

__all__ = ["command"]

_HOSTS: Final = 10_000  # texts in which values are planted
_WRITING: Final = ("output", "dropped", "shard", "step_pii_replace", "step_pii_key")


@click.command("pii", cls=StepCommand, steps=["pii"], renamed={"languages": "language"}, without=["audit"])
@click.option(
    "--audit",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Write nothing; of N planted values tell how many are found.",
)
@writing_options(shards=True)
def command(**given: Any) -> None:
    """Replace personal data in every column of FILES.

    Rows without any are written byte for byte. The rest keep their form; only the
    values are replaced, in nested columns and chat turns too. No original value
    is written anywhere. Shards and later runs need the same --key to agree.

    With --audit no file is written: invented values are planted in copies of the
    texts, and a table tells how many of each kind would have been replaced.

    \b
    Examples:
      $ datakit pii tickets.csv -o clean.csv --replace tag
      $ cat tickets.csv | datakit pii - --language ko,en
      $ datakit pii tickets.csv --audit 200
    """
    from datakit.pii.recognizers import load_presidio

    if given["step_pii_engine"] is None:
        load_presidio(torch=False)
    if given["audit"] is not None:
        _audit(given)
        return
    from datakit.cli.plain import run_steps

    run_steps(given, [("pii", {})], needs_text=False)


def _audit(given: dict[str, Any]) -> None:
    """Prints how many planted values are found."""
    from datakit.cli.console import console
    from datakit.cli.plain import files_of, make_step
    from datakit.core.workers import Workers
    from datakit.pii.step import PiiStep
    from datakit.plain.columns import said_columns
    from datakit.plain.engine import read_columns
    from datakit.plain.sample import sample_texts

    if named := next((name for name in _WRITING if given.get(name)), None):
        option = named.removeprefix("step_pii_").replace("_", "-")
        raise click.UsageError(f"--audit writes nothing, so --{option} does not go with it: leave one out")
    files = files_of(given)
    columns = read_columns(files, said_columns(given["column"])) or {}
    texts = sample_texts(files, columns, count=_HOSTS, skip_bad_rows=given["skip_bad_rows"])
    with Workers(given["workers"]) as workers:
        step = make_step("pii", given, columns, workers)
        if not isinstance(step, PiiStep):
            raise TypeError(f"the step 'pii' is {type(step).__name__}, which has no audit")
        result = step.audit(texts, given["audit"])
    if given["as_json"]:
        click.echo(json.dumps(result.to_json(), indent=1))
        return
    out = console(quiet=given["quiet"])
    for line in [*result.lines(), *step.notes()]:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
