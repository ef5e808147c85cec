"""``datakit label``: labels from a model, with a confidence and a price."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datakit.experiment.labelling import LabelRun

__all__ = ["command"]

_KINDS = ("classify", "multilabel", "spans", "answer", "preference", "rating")


@click.command("label")
@click.argument("what")
@click.argument("name", required=False)
@click.option("--use", default="classify", show_default=True, help="Labeller: of the library, or a file.")
@click.option("--model", multiple=True, help="Name at the server; may be repeated.")
@click.option("--server", help="OpenAI-compatible base URL; OpenAI's by default.")
@click.option("--key", help="env:NAME or file:PATH.  [default: env:OPENAI_API_KEY]")
@click.option("--local", multiple=True, help="Model folder or pocket: options are scored.")
@click.option("--votes", type=click.IntRange(1, 100), default=1, show_default=True, help="Of each served model.")
@click.option("--timeout", type=float, help="Seconds for one call.  [default: 60]")
@click.option("--concurrency", type=int, help="Calls at once, at most.  [default: 16]")
@click.option("--text", "text_column", help="Column that is shown.")
@click.option("--label", "label_column", help="Column of labels that are there.")
@click.option("--gold", help="Column or CSV of what people said, to measure by.")
@click.option("--existing", type=click.Choice(["fill", "replace", "check"]), default="fill", show_default=True)
@click.option("--aggregate", type=click.Choice(["majority", "dawid_skene"]), default="majority", show_default=True)
@click.option("--min-confidence", type=click.FloatRange(0, 1), help="Rows below do not go on.")
@click.option("--below", type=click.Choice(["drop", "review", "keep"]), default="drop", show_default=True)
@click.option("--budget", type=float, help="Money for this folder, over all calls of this command.")
@click.option("--prices", type=click.Path(path_type=Path, dir_okay=False), help="Price table of your own.")
@click.option("--send-personal-data", is_flag=True, help="Do not hide personal data from servers.")
@click.option("--limit", type=click.IntRange(1), help="Only the first rows.")
@click.option("--language", type=click.Choice(["en", "ko"]), default="en", show_default=True, help="Of a labeller.")
@click.option("--kind", type=click.Choice(_KINDS), default="classify", show_default=True, help="For label new.")
@click.option("--seed", type=int, help="Of sampling and folds.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask about the price.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder; for label new the file.")
@click.option("--json", "as_json", is_flag=True, help="Print the measures as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(what: str, name: str | None, output: Path | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Label rows by asking a model, and measure it against people.

    WHAT is a data file, a recipe with a label step, or one of the words `new`
    (NAME: writes a commented labeller) and `list` (labellers of the library).
    Answers are kept: the same call goes on where it stopped and pays nothing
    twice. More than 1.00 is spent only when you say so.

    \b
    Examples:
      $ datakit label list
      $ datakit label new urgency -o urgency.yaml
      $ datakit label tickets.csv --local pocket --gold label -o labelled
      $ datakit label tickets.csv --local pocket --existing check --limit 9
    """
    if what == "list" and name is None and not Path(what).exists():
        _list(as_json=as_json, quiet=quiet)
    elif what == "new":
        _new(name, output, options, as_json=as_json, quiet=quiet)
    elif name is not None:
        raise click.UsageError(f"Got unexpected extra argument ({name}). A second word goes with: label new NAME")
    else:
        _label(what, output, options, as_json=as_json, quiet=quiet)


def _list(*, as_json: bool, quiet: bool) -> None:
    from datakit.cli.console import console, print_json
    from datakit.labelling.labeller import library_names, load_labeller

    found = {name: load_labeller(name) for name in library_names()}
    if as_json:
        print_json({name: one.model_dump(mode="json", exclude={"format"}) for name, one in found.items()})
        return
    out = console(quiet=quiet)
    for name, one in found.items():
        options = ", ".join(one.names) if one.names else "the data's labels" if one.options else "-"
        out.print(f"{name:<15}{one.kind:<12}{options}", markup=False, soft_wrap=True)


def _new(name: str | None, output: Path | None, options: dict[str, Any], *, as_json: bool, quiet: bool) -> None:
    from datakit.cli.console import console, print_json
    from datakit.core.errors import UsageError
    from datakit.core.storage import write_text
    from datakit.labelling.skeleton import skeleton

    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"'{name or ''}' cannot name a labeller", hint="Letters, digits, - and _: label new urgency")
    path = output or Path(f"{name}.yaml")
    if path.exists():
        raise UsageError("there is a file of that name already", where=path, hint="Give another with -o")
    write_text(path, skeleton(name, kind=options["kind"], language=options["language"], file=str(path)))
    if as_json:
        print_json({"file": str(path)})
        return
    out = console(quiet=quiet)
    out.print(f"wrote     {path}: edit instruction and options", markup=False, soft_wrap=True)
    out.print(f"next      datakit label FILE --use {path} --model NAME --limit 20", markup=False, soft_wrap=True)


def _label(what: str, output: Path | None, options: dict[str, Any], *, as_json: bool, quiet: bool) -> None:
    from datakit.cli.console import console, print_json
    from datakit.experiment.labelling import label_file, label_recipe

    out = console(quiet=quiet, to_stderr=as_json)
    confirm = _asker(options["yes"])
    with _telling(out) as tell:
        recipe = Path(what).suffix in (".yaml", ".yml")
        if recipe:
            made = label_recipe(Path(what), output=output, seed=options["seed"], confirm=confirm, tell=tell)
        else:
            columns = {"text": options["text_column"], "label": options["label_column"]}
            made = label_file(
                what,
                _params(options),
                output=output or Path("labelled") / Path(what).name.partition(".")[0],
                columns={ours: theirs for ours, theirs in columns.items() if theirs},
                limit=options["limit"],
                seed=options["seed"] or 0,
                confirm=confirm,
                tell=tell,
            )
    if as_json:
        dropped, folder, page = made.dropped, str(made.folder), str(made.page)
        print_json({"folder": folder, "page": page, "kept": made.kept, "dropped": dropped, **made.facts})
        return
    after = (
        [f"          datakit build {what}: the steps after it, which are not in {made.page.parent}"] if recipe else []
    )
    for line in [*_lines(made), *after]:
        out.print(line, markup=False, soft_wrap=True)


def _params(options: dict[str, Any]) -> dict[str, Any]:
    """The step's parameters; what was not said is left to its defaults."""
    said = {key: options[key] for key in ("server", "key", "timeout", "concurrency") if options[key] is not None}
    models = [{"model": name, "votes": options["votes"], **said} for name in options["model"]]
    models += [{"local": name} for name in options["local"]]
    if not models:
        raise click.UsageError("Name who is asked: --model NAME, with --server URL, or --local FOLDER")
    names = ("use", "gold", "existing", "aggregate", "min_confidence", "below", "budget", "language")
    prices = options["prices"]
    return {
        **{name: options[name] for name in names},
        "models": models,
        "redact": not options["send_personal_data"],
        "prices": None if prices is None else str(prices),
    }


def _asker(yes: bool) -> Callable[[str], bool] | None:
    """Asks on a terminal; where nobody sits, only ``--yes`` agrees."""
    if yes:
        return lambda question: True
    if not sys.stdin.isatty():
        return None
    return lambda question: click.confirm(question, err=True)


def _telling(out: Any) -> Any:
    """A live line on a terminal, nothing in a log."""
    import contextlib

    @contextlib.contextmanager
    def telling() -> Any:
        if not out.is_terminal or out.quiet:
            yield lambda text: None
            return
        with out.status("", spinner="dots") as status:
            yield lambda text: status.update(f"label     {text}")

    return telling()


def _lines(made: LabelRun) -> list[str]:
    facts, gold, spending = made.facts, made.facts["gold"], made.facts["spending"]
    lost = ", ".join(f"{reason} {count:,}" for reason, count in sorted(made.dropped.items()))
    good = facts["status"].get("ok", 0)
    lines = [
        f"labels    {good:,} of {facts['rows']:,} rows · {made.kept:,} go on" + (f" · dropped: {lost}" if lost else "")
    ]
    if gold.get("accuracy", {}).get("value") is not None:
        figure, kappa = gold["accuracy"], gold["kappa"]["value"]
        ends = "" if figure["low"] is None else f" [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"
        chance = "" if kappa is None else f" · kappa {kappa:.3f}"
        lines.append(f"people    {100 * figure['value']:.1f} % of {figure['n']:,} gold rows agree{ends}{chance}")
    lines += _confidence(facts)
    if facts.get("suspicious") is not None:
        lines.append(f"in doubt  {len(facts['suspicious']):,} of {facts['checked']:,} labels that were there")
    money = f"{spending['cost']:,.4f} {spending['currency']}"
    lines.append(f"price     {money} · {spending['answered']:,} answers, {spending['cached']:,} more were there")
    lines.append(f"report    {made.page}")
    lines.append(f"next      datakit review {made.folder}")
    return lines


def _confidence(facts: dict[str, Any]) -> list[str]:
    """Where to put the threshold, or why nobody can say."""
    best, gold = facts.get("threshold"), facts["gold"]["labelled"]
    if set(facts["confidence_from"]) == {"votes"} and facts["votes"]["ok"] == facts["confidence_from"]["votes"]:
        return ["confidence says nothing: one vote a row, no probabilities; take --votes 5 or several models"]
    if best:
        kept, right = 100 * best["coverage"], 100 * best["accuracy"]
        return [f"threshold {best['threshold']:.2f} keeps {kept:.0f} % of the rows, {right:.1f} % of them right"]
    if gold:
        return [f"threshold none is surely above 95 % on {gold:,} gold rows; the report has the curve"]
    return []
