"""``datakit export``: an arm as a folder that stands alone."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("arm")
@click.option("--seed", type=int, help="Of the arm.  [default: its first]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder.  [default: RUN/exports/ARM-SEED]")
@click.option("--json", "as_json", is_flag=True, help="Print export.json on stdout, progress on stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(run: Path, arm: str, seed: int | None, output: Path | None, as_json: bool, quiet: bool) -> None:
    """Write an arm as it is shipped, and evaluate what was written.

    An adapter is folded into its base in float32, must answer as the two
    together, and is saved in the base's data type. The folder has model card
    with scores, tokenizer, chat template and generation config. It is then
    evaluated as the run evaluated the arm; answers that differ are counted.

    \b
    Examples:
      $ datakit export runs/support lora -o shipped
    """
    import sys

    from datakit.cli.console import console
    from datakit.cli.progress import listening
    from datakit.experiment.export import export_arm
    from datakit.experiment.layout import open_run

    layout = open_run(run)
    with listening(quiet=quiet, to_stderr=as_json) as listen:
        found = export_arm(layout, arm, seed=seed, output=output, listen=listen)
    if as_json:
        sys.stdout.write((found.folder / "export.json").read_text(encoding="utf-8"))
        return
    out = console(quiet=quiet)

    def say(head: str, text: str) -> None:
        out.print(f"{head:<9} {text}", markup=False, soft_wrap=True)

    if found.kind == "adapter":
        say("adapter", "works on hidden states or virtual tokens:")
        say("", "it is shipped beside its base, not folded in")
    elif found.difference is not None:
        say("merge", f"in float32 no logit differs by more than {found.difference:.1g}")
        say("", "from base and adapter together")
    changed = [one for one in found.tasks if one.changed]
    for one in changed:
        say("task", f"{one.task}: {one.after:.3f}, in the run {one.before:.3f}")
        say("", f"{one.changed} of {one.items} answers differ from the run's")
    if same := len(found.tasks) - len(changed):
        say("tasks", f"{'all' if not changed else 'the other'} {same} as in the run, answer by answer")
    say("export", str(found.folder))
