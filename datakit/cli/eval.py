"""``datakit eval``: one model on one suite, the scores in a table and every item in a log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from evalkit.log import EvalLog

__all__ = ["command", "scores"]


@click.command("eval")
@click.argument("model")
@click.option("--suite", required=True, metavar="NAME", help="Registered suite or a suite file.")
@click.option(
    "--adapter", type=click.Path(path_type=Path, exists=True, file_okay=False), help="PEFT adapter over MODEL."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the log."
)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many items of each task.")
@click.option("--label", help="Name of the model in reports; the path by default.")
@click.option("--device", help="cpu, cuda, mps; a GPU where there is one.")
@click.option("--dtype", default="auto", show_default=True, help="auto, float32, bfloat16, float16.")
@click.option("--chat-template", type=click.Choice(["auto", "none"]), default="auto", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of few-shot samples.")
@click.option("--offline", is_flag=True, help="Never ask the hub.")
@click.option("--fresh", is_flag=True, help="Compute again what is stored.")
@click.option("--json", "as_json", is_flag=True, help="Scores as JSON on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
def command(
    model: str,
    suite: str,
    adapter: Path | None,
    output: Path,
    limit: int | None,
    label: str | None,
    device: str | None,
    dtype: str,
    chat_template: str,
    seed: int,
    offline: bool,
    fresh: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Evaluate a model on a suite and keep the log.

    MODEL is a folder, a hub name, or `mock` for a dry run. What was evaluated
    before on the same bytes is taken from the store.

    \b
    Examples:
      $ datakit eval mock:right --suite pocket -o evals/mock --limit 5
    """
    from datakit.core.chat import ChatSettings
    from datakit.core.require import own_package

    own_package("evalkit")
    from evalkit.evaluate import Session
    from evalkit.suite import load_suite

    chosen = load_suite(suite)
    chat = ChatSettings.model_validate({"template": chat_template})
    session = Session(_model(model), chat=chat, device=device, dtype=dtype, offline=offline)
    log = session.evaluate(
        chosen, adapter=adapter, label=label or str(adapter or model), seed=seed, limit=limit, store=not fresh
    )
    path = log.write(output)
    _show(log, path, as_json=as_json, quiet=quiet)


def _model(name: str) -> str | Path:
    """The folder of a registered model, or the name as it is."""
    from datakit.core.registry import Registry

    models = Registry("datakit.models")
    if Path(name).exists() or name not in models.names():
        return name
    return Path(models.load(name)())


def _show(log: EvalLog, path: Path, *, as_json: bool, quiet: bool) -> None:
    from datakit.cli.console import console, print_json

    rows = scores(log)
    if as_json:
        print_json({"log": str(path), "recorded": log.header.recorded, "tasks": rows})
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
