"""``datakit eval``: one model on one suite, the scores in a table and every item in a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from evalkit.log import EvalLog

__all__ = ["command", "scores"]


@click.command("eval")
@click.argument("model")
@click.option(
    "--suite",
    required=True,
    metavar="NAME",
    help="Name, YAML file, lm-eval tasks joined by commas, or a test split (.parquet).",
)
@click.option(
    "--adapter", type=click.Path(path_type=Path, exists=True, file_okay=False), help="PEFT adapter over MODEL."
)
@click.option("--base", metavar="MODEL", help="What MODEL was tuned from; a run knows it.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the log."
)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many items of each task.")
@click.option("--label", help="Name of the model in reports; the path by default.")
@click.option("--device", help="cpu, cuda, mps; a GPU where there is one.")
@click.option("--dtype", default="auto", show_default=True, help="auto, float32, bfloat16, float16.")
@click.option("--template", type=click.Choice(["auto", "none"]), default="auto", help="Use the chat template.")
@click.option("--system", help="System prompt.")
@click.option("--thinking", is_flag=True, help="Let a model think that can.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of few-shot samples.")
@click.option("--offline", is_flag=True, help="Never ask the hub.")
@click.option("--fresh", is_flag=True, help="Compute again what is stored.")
@click.option("--json", "as_json", is_flag=True, help="Scores as JSON on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
def command(
    model: str,
    suite: str,
    adapter: Path | None,
    base: str | None,
    output: Path,
    limit: int | None,
    label: str | None,
    device: str | None,
    dtype: str,
    template: Literal["auto", "none"],
    system: str | None,
    thinking: bool,
    seed: int,
    offline: bool,
    fresh: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Evaluate a model on a suite and keep the log.

    MODEL is a folder of a model or an adapter, a hub name, or `mock` for a dry
    run. What was evaluated before on the same bytes is taken from the store.
    A model that cannot be what it is taken for (an adapter that changes nothing,
    the weights of its base) is an error; settings that are not those of its
    training, prompts that were cut and items that stand in its run's training
    data are told.

    \b
    Examples:
      $ datakit eval mock:right --suite pocket -o evals/mock --limit 5
      $ datakit eval runs/support/models/lora-1 --suite pocket -o lora --limit 5
    """
    from datakit.core.chat import ChatSettings
    from datakit.core.require import own_package

    own_package("evalkit")
    from datakit.experiment.tuned import check_model, find_named, suite_of, with_findings
    from evalkit.evaluate import Session

    chosen = suite_of(suite)
    chat = ChatSettings(template=template, system=system, thinking=thinking)
    named = find_named(model, adapter=adapter, base=base)
    session = Session(named.model, chat=chat, device=device, dtype=dtype, offline=offline)
    found = check_model(named, chat)
    log: EvalLog = session.evaluate(
        chosen, adapter=named.adapter, label=label or str(adapter or model), seed=seed, limit=limit, store=not fresh
    )
    log, notes = with_findings(log, named, found)
    path = log.write(output)
    _show(log, path, notes, as_json=as_json, quiet=quiet)


def _show(log: EvalLog, path: Path, notes: Sequence[str], *, as_json: bool, quiet: bool) -> None:
    from datakit.cli.console import console, print_json

    rows = scores(log)
    if as_json:
        print_json({"log": str(path), "recorded": log.header.recorded, "tasks": rows, "notes": list(notes)})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("task", "metric", "items", "score", "95 %"):
        table.add_column(title, justify="left" if title in ("task", "metric") else "right", overflow="fold")
    for row in rows:
        table.add_row(
            row["task"],
            row["metric"],
            f"{row['items']:,}",
            f"{row['score']:.3f}",
            f"[{row['low']:.3f}, {row['high']:.3f}]",
        )
    screen = console(quiet=quiet)
    screen.print(table, markup=False)
    for note in notes:
        screen.print(f"note      {note}", markup=False, soft_wrap=True)
    recorded = log.header.recorded
    stored = f" · {recorded['stored']} of {len(rows)} tasks from the store" if recorded["stored"] else ""
    screen.print(f"{recorded['seconds']:.1f} s on {recorded['device']}{stored}", markup=False)
    screen.print(f"log       {path}", markup=False, soft_wrap=True)


def scores(log: EvalLog) -> list[dict[str, Any]]:
    """Each task's primary score with a 95 % interval: Wilson's for right and wrong, else normal over items."""
    import numpy as np
    from scipy.stats import binomtest, norm

    primary = log.primary()
    names, values = np.array(primary.column("task").to_pylist()), primary.column("score").to_numpy()
    rows = []
    for name, info in log.header.tasks.items():
        own = values[names == name]
        mean, count = float(own.mean()), len(own)
        if set(np.unique(own)) <= {0.0, 1.0}:
            interval = binomtest(round(own.sum()), count).proportion_ci(method="wilson")
            low, high = float(interval.low), float(interval.high)
        else:
            half = float(norm.ppf(0.975) * own.std(ddof=1) / count**0.5) if count > 1 else float("nan")
            low, high = mean - half, mean + half
        rows.append({"task": name, "metric": info.metric, "items": count, "score": mean, "low": low, "high": high})
    return rows
