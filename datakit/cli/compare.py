"""``datakit compare``: two models or their logs, with no recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from datakit.core.chat import ChatSettings
    from evalkit.log import EvalLog

__all__ = ["command"]


@click.command(name="compare")
@click.argument("base")
@click.argument("tuned")
@click.option(
    "--suite",
    help="Name, YAML file, lm-eval tasks joined by commas, or a test split (.parquet).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("comparison"),
    show_default=True,
    help="Folder of logs and report.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Items per task at most.")
@click.option("--template", type=click.Choice(["auto", "none"]), default="auto", help="Use the chat template.")
@click.option("--system", help="System prompt of both models.")
@click.option("--thinking", is_flag=True, help="Let models think that can.")
@click.option("--device", help="cpu, cuda, mps; the best there is by default.")
@click.option("--join", type=click.Choice(["exact", "intersection"]), default="exact", help="Items in one log only.")
@click.option("--prompts", type=click.Choice(["same", "differ"]), default="same", help="Let prompts differ; no gate.")
@click.option("--seed", default=0, show_default=True, help="Seed of few-shot draws, permutations and bootstraps.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
def command(
    base: str,
    tuned: str,
    suite: str | None,
    output: Path,
    limit: int | None,
    template: Literal["auto", "none"],
    system: str | None,
    thinking: bool,
    device: str | None,
    join: Literal["exact", "intersection"],
    prompts: Literal["same", "differ"],
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare a tuned model with its base, item by item, and write the report.

    BASE and TUNED are model folders, Hub names, adapter folders, or logs (a .json or .parquet log, or a folder of
    them; also those of lm-eval, inspect and lighteval). What is no log yet is evaluated on --suite. Logs and report
    land in --output, which `datakit gate` and `datakit report` read like a run;
    an earlier comparison there is replaced.

    \b
    Examples:
      $ datakit compare runs/support/evals/base runs/support/evals/lora-1
      $ datakit compare pocket runs/support/models/full-1 --suite pocket --limit 9
    """
    from datakit.cli.console import console, print_json
    from datakit.core.chat import ChatSettings
    from datakit.core.require import own_package

    own_package("evalkit")
    from datakit.experiment.compared import check_folder, write_comparison
    from evalkit.report.data import document
    from evalkit.report.terminal import lines

    chat = ChatSettings(template=template, system=system, thinking=thinking)
    options = {"device": device, "limit": limit, "seed": seed}
    check_folder(output)
    before, after = _logs(base, tuned, suite, chat, options)
    report, paths = write_comparison(
        before,
        after,
        base=base,
        tuned=tuned,
        output=output,
        pairing={"join": join, "prompts": prompts},
        seed=seed,
        reproduce=_line(base, tuned, suite, output),
    )
    if as_json:
        print_json(document(report))
        return
    out = console(quiet=quiet)
    for line in [*lines(report), f"report    {paths['html']} · pull request: {paths['md'].name}"]:
        out.print(line, markup=False, soft_wrap=True)


def _line(base: str, tuned: str, suite: str | None, output: Path) -> str:
    return f"datakit compare {base} {tuned}{f' --suite {suite}' if suite else ''} -o {output}"


def _is_log(name: str) -> bool:
    from evalkit.importers import importer_of

    path = Path(name)
    if path.is_dir() and any(file.with_suffix(".parquet").exists() for file in path.glob("*.json")):
        return True
    return importer_of(path) is not None or (not path.is_dir() and path.suffix in (".json", ".parquet"))


def _is_adapter(name: str) -> bool:
    from datakit.core.adapters import is_adapter

    return is_adapter(Path(name))


def _logs(
    base: str, tuned: str, suite: str | None, chat: ChatSettings, options: dict[str, Any]
) -> tuple[list[EvalLog], list[EvalLog]]:
    """The logs of both, evaluating what is no log; a base and its adapter share one model in memory."""
    from datakit.core.errors import UsageError
    from evalkit.importers import importer_of, read_foreign
    from evalkit.report.run import read_logs

    if suite is None and not (_is_log(base) and _is_log(tuned)):
        model = tuned if _is_log(base) else base
        raise UsageError(f"'{model}' is no evaluation log", hint="Say what to evaluate it on with --suite NAME")
    sessions: dict[str, Any] = {}
    found = []
    for name, label in ((base, "base"), (tuned, "tuned")):
        if _is_log(name):
            foreign = importer_of(Path(name))
            found.append([read_foreign(Path(name))] if foreign else read_logs(Path(name)))
        else:
            found.append([_evaluate(name, label, str(suite), chat, options, sessions, base)])
    return found[0], found[1]


def _evaluate(
    name: str,
    label: str,
    suite: str,
    chat: ChatSettings,
    options: dict[str, Any],
    sessions: dict[str, Any],
    base: str,
) -> EvalLog:
    from datakit.experiment.tuned import check_model, find_named, suite_of
    from evalkit import Session
    from evalkit.kl import measure_kl, with_kl
    from evalkit.nets import with_notes

    known = None if label == "base" or _is_log(base) or _is_adapter(base) else base
    named = find_named(name, base=known)
    if named.model not in sessions:
        sessions.clear()  # one model in memory at a time
        sessions[named.model] = Session(named.model, chat=chat, device=options["device"])
    tasks, session = suite_of(suite), sessions[named.model]
    notes = check_model(named, chat) if label == "tuned" else []
    asked = {"seed": options["seed"], "limit": options["limit"]}
    log: EvalLog = session.evaluate(tasks, adapter=named.adapter, label=label, **asked)
    if named.adapter and label == "tuned" and not _is_log(base):
        log = with_kl(log, measure_kl(session, tasks, adapter=named.adapter, **asked))
    return with_notes(log, notes)
