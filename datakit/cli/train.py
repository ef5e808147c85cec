"""``datakit train``: one arm on a built dataset, without a recipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click

__all__ = ["command"]


@click.command("train", short_help="Train one arm on a built dataset.")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--model", "-m", required=True, help="Model folder, Hub name, or pocket.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the trained model.")
@click.option("--objective", help="What is learnt: sft, text, mlm, dpo, orpo, reward.  [default: sft]")
@click.option("--backend", default="native", show_default=True, help="Who trains: native, trl, ppo, command, mock.")
@click.option(
    "--backend-option", "-B", multiple=True, metavar="KEY=VALUE", help="A setting of the backend; repeatable."
)
@click.option("--adapter", default="lora", show_default=True, help="lora, full, rslora, dora, osf, loreft, ...")
@click.option("--rank", type=click.IntRange(1), help="The adapter's rank.  [default: 16; loreft: 8]")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A further setting of the adapter.")
@click.option("--learning-rate", type=float, help="Peak rate.  [default: 2e-4 for lora, 1e-5 for full]")
@click.option("--epochs", type=float, help="Passes over the data.  [default: 3]")
@click.option("--steps", type=click.IntRange(1), help="Optimizer steps, instead of epochs.")
@click.option("--batch-size", type=click.IntRange(1), help="Rows at once.  [default: 16]")
@click.option(
    "--accumulate", type=click.IntRange(1), help="Batches per step: the same as a larger batch.  [default: 1]"
)
@click.option("--max-length", type=click.IntRange(2), help="Longest row in tokens.  [default: 2048]")
@click.option("--save-every", type=click.IntRange(1), help="Steps between two saved states; a killed run goes on.")
@click.option("--replay", type=click.Path(path_type=Path), help="Parquet file of general rows to mix in.")
@click.option("--replay-share", type=float, default=0.05, show_default=True, help="Their share of all rows.")
@click.option(
    "--set", "more", multiple=True, metavar="KEY=VALUE", help="Any other key of an arm, such as warmup=0.1; repeatable."
)
@click.option("--chat-template", type=click.Choice(["auto", "none"]), default="auto", show_default=True)
@click.option("--system", help="System prompt of every conversation that has none.")
@click.option("--thinking", is_flag=True, help="Passed to chat templates that know it.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Data order, initialisation, dropout.",
)
@click.option("--processes", type=click.IntRange(1), help="Train with so many: one for each GPU.  [default: 1]")
@click.option("--offline", is_flag=True, help="Never ask the Hub.")
@click.option("--json", "as_json", is_flag=True, help="Print train.json on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(
    data: Path,
    model: str,
    output: Path,
    backend: str,
    backend_option: tuple[str, ...],
    replay: Path | None,
    replay_share: float,
    chat_template: Literal["auto", "none"],
    system: str | None,
    thinking: bool,
    seed: int,
    processes: int | None,
    offline: bool,
    as_json: bool,
    quiet: bool,
    options: tuple[str, ...],
    more: tuple[str, ...],
    **settings: Any,
) -> None:
    """Train one arm on a dataset that `datakit build` made.

    DATA is the folder of a run or its data/ folder, or one Parquet file. The answers' tokens are trained, the
    prompts' are not (with --objective text every token is); three rows show which before the first step.
    Stopped by Ctrl-C or SIGTERM it saves its state, and the same command goes
    on from it; against a kill or a power cut, give --save-every. The backends
    trl and command begin anew instead.

    Adapters: lora, rslora, dora (matrices beside the weights), qlora (the
    weights in 4 bits), full (every weight), osf (the smaller directions of
    each), loreft, direft (hidden states of the prompt), and peft:NAME for any
    tuner of PEFT.

    With --backend another library or program trains the same rows; what it wrote is checked in the same way.
    --set takes what a recipe's arm knows and has no option here (see docs/recipe.md), values as JSON or text.

    \b
    Examples:
      $ datakit train runs/support --model pocket --steps 20 -o tuned
      $ datakit train runs/support -m pocket --backend mock -B size=0.1 -o mocked
      $ datakit train runs/support -m pocket --adapter full --steps 9 -o full
      $ datakit train runs/support -m pocket --adapter loreft --steps 9 -o reft
      $ datakit train runs/support -m pocket --steps 9 --set targets=mlp -o mlp
    """
    from datakit.cli.console import console, print_json
    from datakit.cli.training import show_training
    from datakit.core.chat import ChatSettings
    from datakit.core.require import own_package
    from datakit.core.storage import read_json

    if (processes or 1) > 1 and "WORLD_SIZE" not in os.environ:
        from datakit.cli.processes import launch

        sys.exit(launch(processes or 1))
    others = int(os.environ.get("RANK", "0")) > 0  # the first process speaks
    quiet, as_json = quiet or others, as_json and not others
    train = own_package("train")
    given = {key: value for key, value in settings.items() if value is not None}
    given |= _more(more, [*given, "backend", *(["replay"] if replay is not None else [])])
    if options:
        given["options"] = _options(options, "--option")
    if replay is not None:
        given["replay"] = {"from": "replay", "share": replay_share}
    given["backend"] = {backend: _options(backend_option, "--backend-option")} if backend_option else backend
    arm = _arm(train, given)
    screen = console(quiet=quiet, to_stderr=as_json)
    with show_training(screen) as progress:
        result = train.fit(
            arm,
            model=_model(model),
            data=data,
            output=output,
            chat=ChatSettings(template=chat_template, system=system, thinking=thinking),
            seed=seed,
            replay={} if replay is None else {"replay": replay},
            progress=progress,
            offline=offline,
            imports=Path(),
        )
    screen.print(f"{'model':<9} {result.folder}", markup=False, soft_wrap=True)
    if as_json:
        print_json(read_json(result.folder / "train.json"))


def _options(pairs: tuple[str, ...], option: str) -> dict[str, Any]:
    """Values as JSON where they are some, else as text."""
    import json

    from datakit.core.errors import UsageError

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise UsageError(f"{option}: '{pair}' is not KEY=VALUE")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def _more(pairs: tuple[str, ...], given: Sequence[str]) -> dict[str, Any]:
    """Keys of an arm that were not given by an option of their own."""
    from datakit.core.errors import UsageError

    found = _options(pairs, "--set")
    if twice := [key for key in found if key in given]:
        raise UsageError(f"--set {twice[0]}: there is an option for it: --{twice[0].replace('_', '-')}")
    return found


def _arm(train: Any, given: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from datakit.core.errors import UsageError

    try:
        return train.Arm(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = "".join(f"--{str(part).replace('_', '-')}: " for part in first["loc"][:1])
        raise UsageError(f"{option}{first['msg'].removeprefix('Value error, ')}") from None


def _model(name: str) -> str:
    """A registered model's folder (``pocket``), else the name as it is: a folder or a Hub name."""
    from datakit.core.registry import Registry

    registry = Registry("datakit.models", {"pocket": "datakit.pocket:model_path"})
    return str(registry.load(name)()) if name in registry.names() and not Path(name).is_dir() else name
