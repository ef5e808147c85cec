"""``datakit templates``: look at prompt templates, try them on a file, begin one, bring promptsource's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datakit.core.example import Example
    from datakit.templates import Template

__all__ = ["command"]

_NEW = """\
# Wordings of one task. A recipe names this file:   - template: {{use: {name}}}
# One of them alone:                                 - template: {{use: "{name}:short"}}
# Columns stand in double braces; a column that is missing is an error, a row where it is null gets another wording.
task: {task}
language: {language}
templates:
  - name: short
    input: |
      {{{{ text }}}}
      Category:
    target: "{{{{ label }}}}"
    choices: labels            # all label names of the source; or a list of texts; leave it out for open answers

  - name: instruction
    input: |
      Which of these fits the text: {{{{ labels | join(", ") }}}}?

      {{{{ text }}}}
    target: "{{{{ label }}}}"
    choices: labels
    system: Answer with the category alone.     # may be left out
"""


@click.group("templates")
def command() -> None:
    """List, show, render and begin prompt templates.

    A name is a task of datakit's library (classify, classify.ko, classify/short),
    a file or one of its templates (my.yaml, my.yaml:NAME), or promptsource's
    (promptsource:glue/mrpc, promptsource:ag_news:NAME).

    \b
    Examples:
      $ datakit templates list --language ko
      $ datakit templates show classify/short
      $ datakit templates render tickets.csv --template classify --rows 2
      $ datakit templates new my_templates.yaml
    """


@command.command("list")
@click.option("--language", help="Only wordings in this language: en, ko.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def _list_templates(language: str | None, as_json: bool, quiet: bool) -> None:
    """List datakit's own templates, and how many of promptsource's are installed.

    \b
    Examples:
      $ datakit templates list
      $ datakit templates list --language ko --json
    """
    from datakit.cli.console import console, print_json
    from datakit.templates.collection import library_names, load_library

    found = [name for name in library_names() if language is None or name.rpartition(".")[2] == language]
    wordings = {name: list(load_library(name)) for name in found}
    datasets = _promptsource_datasets()
    if as_json:
        print_json({"library": wordings, "promptsource": datasets})
        return
    out = console(quiet=quiet)
    for name, names in wordings.items():
        out.print(f"{name:<14}{len(names)}  {', '.join(names)}", markup=False, soft_wrap=True)
    if not found:
        out.print(f"no templates in the language '{language}'; there are en and ko", markup=False)
    text = f"{len(datasets)} datasets, promptsource:{datasets[0]} for one" if datasets else "datakit templates install"
    out.print(f"{'promptsource':<14}{text}", markup=False, soft_wrap=True)


def _promptsource_datasets() -> list[str]:
    from datakit.core.errors import TemplateError
    from datakit.templates.promptsource import data_folder

    try:
        root = data_folder()
    except TemplateError:
        return []
    return sorted(file.parent.relative_to(root).as_posix() for file in root.rglob("templates.yaml"))


@command.command("show")
@click.argument("name")
@click.option("--language", default="en", show_default=True, help="Of library tasks named without one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def _show(name: str, language: str, as_json: bool, quiet: bool) -> None:
    """Show the texts of the templates that NAME stands for.

    \b
    Examples:
      $ datakit templates show classify/short
      $ datakit templates show qa --language ko
    """
    from datakit.cli.console import console, print_json
    from datakit.templates import select

    found = select(name, language=language)
    if as_json:
        print_json({"templates": [_described(template) for template in found]})
        return
    out = console(quiet=quiet)
    for template in found:
        out.print(template.key, style="bold", markup=False, soft_wrap=True)
        out.print(f"  columns: {', '.join(template.facts().variables)}", markup=False, soft_wrap=True)
        for key, text in template.body.items():
            if text is not None:
                out.print(f"  {key}:", markup=False)
                out.print(_indented(str(text), "    "), markup=False, soft_wrap=True)


def _described(template: Template) -> dict[str, Any]:
    facts = template.facts()
    return {
        "name": template.key,
        "format": template.format,
        "columns": list(facts.variables),
        "random": facts.random,
        "origin": template.origin,
        **template.body,
    }


@command.command("render")
@click.argument("file")
@click.option("--template", "use", required=True, multiple=True, help="As in a recipe's use:; may be repeated.")
@click.option("--rows", type=click.IntRange(1), default=3, show_default=True, help="How many rows.")
@click.option("--per-row", type=click.IntRange(1), default=1, show_default=True, help="Wordings for each row.")
@click.option("--column", "columns", multiple=True, metavar="OURS=THEIRS", help="Map a column: text=message.")
@click.option("--labels", metavar="A,B,...", help="Label names in the order of their numbers.")
@click.option("--language", default="en", show_default=True, help="Of library tasks named without one.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which wording a row gets.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def _render(
    file: str,
    use: tuple[str, ...],
    rows: int,
    per_row: int,
    columns: tuple[str, ...],
    labels: str | None,
    language: str,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Render the first rows of FILE as a build would.

    Text and label are recognised by their columns' names; --column says others.

    \b
    Examples:
      $ datakit templates render t.csv --template classify --column label=queue
      $ datakit templates render t.csv --template qa --rows 1
    """
    from datakit.cli.console import console, print_json
    from datakit.core.example import from_table
    from datakit.core.step import StepContext
    from datakit.templates.step import TemplateParams, TemplateStep

    source = _read(file, columns, labels)
    names, mapped = {"file": source.labels}, {"file": source.columns}
    context = StepContext(seed=seed, folder=Path.cwd(), labels=names, columns=mapped)
    step = TemplateStep(TemplateParams(use=list(use), per_row=per_row, language=language), context)
    table = source.output.table.slice(0, rows)
    output = step.apply(table)
    made = list(from_table(output.table))
    if as_json:
        print_json({"rows": [example.to_row() for example in made], "notes": step.notes()})
        return
    out = console(quiet=quiet)
    renamed = [f"{ours} from '{theirs}'" for ours, theirs in source.columns.items() if ours != theirs]
    if renamed:
        taken = " · ".join(renamed)
        out.print(f"columns: {taken}\n", markup=False, soft_wrap=True)
    for example in made:
        for line in _lines(example):
            out.print(line, markup=False, soft_wrap=True)
    origins = dict(zip(table.column("id").to_pylist(), table.column("origin").to_pylist(), strict=True))
    for row in output.ledger.to_pylist():
        if row["action"] == "dropped":
            why = ", ".join(json.loads(row["evidence"])["misfits"]).replace("_", " ")
            out.print(f"{origins[row['example_id']]} · no template fits this row ({why})", markup=False)


def _read(file: str, columns: tuple[str, ...], labels: str | None) -> Any:
    from pydantic import ValidationError

    from datakit.core.errors import UsageError
    from datakit.sources import SourceSpec, open_source

    if bad := [pair for pair in columns if "=" not in pair]:
        raise UsageError(f"--column '{bad[0]}' is not OURS=THEIRS", hint="For example --column text=message")
    pairs = {**_recognised(file), **dict(pair.partition("=")[::2] for pair in columns)}
    names = [name.strip() for name in labels.split(",")] if labels else []
    try:
        column = {"column": pairs.get("label", "label"), "names": names} if names else None
        spec = SourceSpec.model_validate({"path": file, "columns": pairs, "labels": column, "on_bad_row": "skip"})
    except ValidationError as error:
        raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    return open_source("file", spec, folder=Path.cwd()).read()


def _recognised(file: str) -> dict[str, str]:
    """Text and label column by their names, as the commands on plain files take them; ours need no mapping."""
    from datakit.plain import open_files
    from datakit.plain.engine import read_columns

    found = read_columns(open_files([file])) or {}
    return {ours: found[ours] for ours in ("text", "label") if found.get(ours, ours) != ours}


def _lines(example: Example) -> list[str]:
    lines = [f"{example.origin} · {example.template}"]
    lines += [f"  {turn.role}\n{_indented(turn.content, '    ')}" for turn in example.messages or ()]
    if example.choices:
        lines.append(f"  one of {len(example.choices)}: {', '.join(example.choices)}"[:400])
    return [*lines, ""]


def _indented(text: str, by: str) -> str:
    return "\n".join(by + line for line in text.splitlines())


@command.command("new")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--task", default="classify", show_default=True, help="Name of the task.")
@click.option("--language", default="en", show_default=True, help="Language of the wordings.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def _new(file: Path, task: str, language: str, quiet: bool) -> None:
    """Write a commented template file to begin with.

    \b
    Examples:
      $ datakit templates new my_templates.yaml --task tone
    """
    from datakit.cli.console import console
    from datakit.core.errors import UsageError
    from datakit.core.storage import write_text
    from datakit.templates import load_collection

    if file.exists():
        raise UsageError(f"'{file}' exists", hint="Choose another name, or remove it first")
    write_text(file, _NEW.format(name=file.name, task=task, language=language))
    try:
        load_collection(file)
    except Exception:
        file.unlink()
        raise
    out = console(quiet=quiet)
    out.print(f"wrote     {file}", markup=False, soft_wrap=True)
    out.print(f"next      datakit templates render FILE --template {file}", markup=False, soft_wrap=True)


@command.command("install")
@click.option("--from", "archive", type=click.Path(path_type=Path, dir_okay=False), help="An archive you have.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def _install_templates(archive: Path | None, as_json: bool, quiet: bool) -> None:
    """Bring promptsource's templates (279 files, Apache-2.0) into the cache.

    Needs the package index once; without it, download promptsource-0.2.3.tar.gz
    elsewhere and name it with --from.
    """
    from datakit.cli.console import console, print_json
    from datakit.templates.install import install

    folder, count = install(archive)
    if as_json:
        print_json({"folder": str(folder), "datasets": count})
        return
    console(quiet=quiet).print(f"{count} datasets in {folder}", markup=False, soft_wrap=True)
