"""``datakit review``: people check labels, in a browser on this machine or in a spreadsheet."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datakit.labelling.corrections import Corrections, Purpose
    from datakit.labelling.folder import Kept

__all__ = ["command"]

_AGAIN = "run the same label or build command again to use them"


@click.command("review")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--order",
    type=click.Choice(["uncertainty", "disagreement", "suspicious", "random"]),
    default="uncertainty",
    show_default=True,
    help="Which rows come first.",
)
@click.option("--sample", type=click.IntRange(0), default=0, help="First so many random rows, which measure.")
@click.option("--limit", type=click.IntRange(1), help="So many rows in all.")
@click.option("--labeller", help="Whose labels, where RUN has several.")
@click.option("--who", help="Your name; the user's by default.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the page; any that is free by default.")
@click.option("--export", "out_file", type=click.Path(path_type=Path, dir_okay=False), help="Write a CSV and end.")
@click.option("--import", "in_file", type=click.Path(path_type=Path, dir_okay=False), help="Take a CSV in and end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors and the address.")
def command(
    run: Path,
    order: str,
    sample: int,
    limit: int | None,
    labeller: str | None,
    who: str | None,
    port: int,
    out_file: Path | None,
    in_file: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show the rows of RUN that need people, and keep what they say.

    Without --export or --import a page is served on this machine alone; its
    address holds a key, so hand it to nobody. Every word is kept at once, with
    name and time. The next build of the recipe takes them: random rows measure
    and never train, the others get the label that people gave.

    \b
    Examples:
      $ datakit review labelled --export check.csv
      $ datakit review labelled --import check.csv --who Ada
    """
    from datakit.cli.console import console, print_json
    from datakit.labelling.exchange import export_labels, import_labels
    from datakit.labelling.folder import LabelFolder
    from datakit.labelling.queue import queue

    folder = LabelFolder.of(run, labeller)
    kept = folder.read()
    name = who or _user()
    out = console(quiet=quiet or as_json)
    with folder.corrections() as corrections:
        if in_file is not None:
            count = import_labels(kept, corrections, in_file, who=name)
            line, facts = f"took      {count:,} new words from {in_file}; {_AGAIN}", {"taken": count}
        elif out_file is not None:
            rows = queue(kept, order=order, sample=sample, limit=limit)  # type: ignore[arg-type]
            count = export_labels(kept, corrections, rows, out_file)
            line, facts = f"wrote     {count:,} rows to {out_file}: fill in 'human'", {"rows": count}
        else:
            rows = queue(kept, order=order, sample=sample, limit=limit)  # type: ignore[arg-type]
            _serve(kept, corrections, rows, name, port, as_json=as_json)
            facts = {"judged": len(corrections.latest())}
            line = f"kept      {facts['judged']:,} words; {_AGAIN}"
    if as_json:
        print_json(facts)
    out.print(line, markup=False, soft_wrap=True)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "someone"


def _serve(
    kept: Kept, corrections: Corrections, rows: list[tuple[int, Purpose]], name: str, port: int, *, as_json: bool
) -> None:
    from datakit.cli.console import console
    from datakit.core.errors import DatakitError
    from datakit.labelling.review import Desk, serve

    if not rows:
        raise DatakitError("no row needs people: nothing was labelled, or everything is gold")
    out = console(to_stderr=as_json)

    def ready(address: str) -> None:
        out.print(f"review    {address}", markup=False, soft_wrap=True)
        out.print(f"          {len(rows):,} rows, as {name}; end with Ctrl-C", markup=False, soft_wrap=True)

    serve(Desk(kept, corrections, rows, name), port=port, ready=ready)
