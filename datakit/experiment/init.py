"""Writes a recipe for a data file: short, commented where something was decided for the user, valid as it stands."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from datakit.core.errors import UsageError
from datakit.core.storage import write_text
from datakit.experiment.look import Sight, look
from datakit.experiment.meaning import Meaning, meaning

__all__ = ["Draft", "draft", "write"]

_MARK, _COMMENTS = "\0", 44
_MAX_NAMES = 12
_NEAR = 3  # a path that climbs so many folders says less than the whole one
_GENERAL = "[arc_easy, hellaswag, winogrande]"
_PLAIN = re.compile(r"[^\W\d][\w./-]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off"}
_DEDUP = {"labels": "text", "text": "text", "chat": "messages", "answers": "messages", "preference": "messages"}


@dataclass(frozen=True, slots=True)
class Draft:
    """A recipe that is not written yet.

    Attributes:
        path: Where it goes.
        text: The recipe.
        template: Name and text of a template file beside it, where no shipped template fits the columns.
        sight: What was seen in the data.
        meaning: What it was taken for.
    """

    path: Path
    text: str
    template: tuple[str, str] | None
    sight: Sight
    meaning: Meaning


def draft(
    file: str, *, output: Path | None = None, model: str = "pocket", said: Mapping[str, str] | None = None
) -> Draft:
    """Looks at a data file and writes a recipe for it, in memory.

    Args:
        file: Path, glob or fsspec URL.
        output: Where the recipe goes; the data file's name with .yaml in the current folder by default.
        model: What will be trained: ``pocket``, a folder, or a Hub name.
        said: Our column names to the file's, from a person who knows.

    Raises:
        SourceError: The file cannot be read, or its columns not told.
    """
    sight = look(file)
    found = meaning(sight, said=said)
    name = _name(file)
    path = output or Path(f"{name}.yaml")
    template = _template(found)
    beside = None if template is None else (f"{path.stem}.template.yaml", template)
    lines = [
        f"# Proposed by `datakit init`. Next: datakit check {path}",
        "format: 1",
        f"name: {name}",
        "data:",
        "  sources:",
        f"    {name}:",
        *_indented(6, _source(sight, found, _relative(file, path.parent))),
        f"  language: {found.language}",
        _said("  steps:", "in this order"),
        *_indented(4, _steps(sight, found, beside[0] if beside else None)),
        *_training(found, model, path.parent),
        *_evaluation(found, model),
    ]
    return Draft(path, _aligned(lines), beside, sight, found)


def write(drafted: Draft, *, force: bool = False) -> list[Path]:
    """Writes the recipe, and the template file where there is one.

    Raises:
        UsageError: One of them is there already and ``force`` is not given.
    """
    files = [(drafted.path, drafted.text)]
    if drafted.template is not None:
        files.append((drafted.path.parent / drafted.template[0], drafted.template[1]))
    for path, _ in files:
        if path.exists() and not force:
            raise UsageError(f"'{path}' is there already", hint="Name another file with -o, or overwrite it: --force")
    for path, text in files:
        write_text(path, text)
    return [path for path, _ in files]


def _name(file: str) -> str:
    """A name for recipe and source: the file's, without endings and without what a file name should not have."""
    stem = Path(file).name.lstrip(".").partition(".")[0]
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")
    return name if re.match("[A-Za-z0-9]", name) else "data"


def _relative(file: str, folder: Path) -> str:
    """The path as a recipe in ``folder`` names it: relative where it lies near; URLs stay as they are."""
    if "://" in file or file.startswith("hf:"):
        return file
    full = Path(file).expanduser().absolute()
    near = Path(os.path.relpath(full, folder))
    return (full if near.parts[:_NEAR] == ("..",) * _NEAR else near).as_posix()


def _indented(width: int, lines: list[str]) -> list[str]:
    return [" " * width + line for line in lines]


def _said(line: str, comment: str) -> str:
    """A line and why; the mark between them becomes spaces when the whole line is known."""
    return f"{line}{_MARK}{comment}"


def _aligned(lines: list[str]) -> str:
    parts = [line.partition(_MARK) for line in lines]
    return "".join(f"{line:<{_COMMENTS}} # {comment}\n" if comment else f"{line}\n" for line, _, comment in parts)


def _scalar(value: str) -> str:
    """A text as YAML: plain where it is a word, else in double quotes, which JSON and YAML share."""
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def _mapping(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in values.items()) + "}"


def _source(sight: Sight, found: Meaning, path: str) -> list[str]:
    lines = [f"path: {_scalar(path)}"]
    if sight.format == "text":
        lines.append(_said("format: text", "a row is a line; rows: paragraph and rows: file are the others"))
    for key, value in sight.options.items():
        if key == "header":
            lines.append(_said(f"header: [{', '.join(map(_scalar, value))}]", "the file has none: these are invented"))
        elif key == "on_bad_row":
            lines.append(_said("on_bad_row: skip", f"{sight.bad} rows cannot be read ({sight.first_bad})"))
        else:
            lines.append(f"{key}: {_scalar(str(value))}")
    if found.columns:
        lines.append(_said(f"columns: {_mapping(found.columns)}", "our name: the file's name"))
    if found.label:
        lines.append(_labels(found.label, found.labels))
    if found.personal:
        kinds = ", ".join(found.personal)
        lines.append(_said("private: true", f"seems to hold personal data ({kinds}): no text in reports"))
    return lines


def _labels(column: str, names: tuple[str, ...]) -> str:
    if all(name.isdecimal() for name in names):
        return _said(f"labels: {{column: {_scalar(column)}}}", "digits; names: [...] in their order makes them words")
    written = ", ".join(map(_scalar, names))
    if len(names) > _MAX_NAMES or len(written) > 80:
        return _said(f"labels: {{column: {_scalar(column)}}}", f"{len(names)} names, numbered as they sort")
    return f"labels: {{column: {_scalar(column)}, names: [{written}]}}"


def _steps(sight: Sight, found: Meaning, template: str | None) -> list[str]:
    lines = []
    if found.personal:
        lines.append(_said("- pii: {replace: tag}", "needs the extra pii"))
    else:
        lines.append(_said("# - pii: {replace: tag}", "no personal data met the eye"))
    on = _DEDUP.get(found.shape)
    if found.shape == "instructions":
        on = f"[{', '.join(_scalar(name) for name in found.main[:2] if name)}]"  # many inputs share an instruction
    if on:
        lines.append(f"- dedup: {{on: {on}, threshold: 0.8}}")
    else:
        lines.append(_said("# - dedup: {on: COLUMN}", "no one column tells rows apart"))
    lines.append(_split(found))
    if found.shape == "labels":
        lines.append(_template_step("classify", found.language))
    elif found.shape == "entailment":
        lines.append(_template_step("nli", found.language))
    elif template:
        lines.append(_said(f"- template: {{use: {_scalar(template)}}}", "written beside this file: mend its wording"))
    return lines


def _template_step(name: str, language: str) -> str:
    name = name if language == "en" else f"{name}.{language}"
    return _said(f"- template: {{use: {name}, per_row: 1}}", f"see them: datakit templates show {name}")


def _split(found: Meaning) -> str:
    if found.split:
        return _said(f"- split: {{by: {_scalar(found.split)}}}", "the file's own")
    keys = {"stratify": "label"} if found.label else {}
    if found.group:
        keys["group"] = found.group
    more = "".join(f", {key}: {_scalar(value)}" for key, value in keys.items())
    return f"- split: {{validation: 0.1, test: 0.15{more}}}"


def _training(found: Meaning, model: str, folder: Path) -> list[str]:
    pairs = [
        _said("  dpo: {objective: dpo, learning_rate: 5e-5, epochs: 1}", "prefers the better answer to the worse"),
        _said("  better: {learning_rate: 2e-4, epochs: 1}", "learns the better answers alone"),
    ]
    if model == "pocket":
        named = _said("model: pocket", "tiny, in the package; a folder or a Hub name for real work")
        if found.shape == "preference":
            return [named, "arms:", *pairs]
        return [
            named,
            "arms:",
            "  full: {adapter: full, learning_rate: 1e-3}",
            "  lora: {adapter: lora, learning_rate: 1e-3}",
        ]
    named = _relative(model, folder) if Path(model).expanduser().is_dir() else model
    if found.shape == "preference":
        return [f"model: {_scalar(named)}", "arms:", *pairs]
    return [
        f"model: {_scalar(named)}",
        "arms:",
        "  lora: {adapter: lora, rank: 16, learning_rate: 2e-4}",
        _said("  gentle: {adapter: lora, rank: 16, learning_rate: 5e-5}", "a lower rate forgets less"),
    ]


def _evaluation(found: Meaning, model: str) -> list[str]:
    suite = _said("  suite: pocket", "general tasks that must not get worse")
    if model != "pocket":
        suite = _said(f"  suite: {_GENERAL}", "lm-eval tasks that must not get worse")
    if found.shape == "text":
        task = [_said("  task: null", "plain text has no answers to mark")]
    elif found.shape == "preference":
        task = [_said("  task: null", "the better answer is not the only right one; see the validation loss")]
    else:
        metrics = "  metrics: [accuracy, macro_f1]"
        if not found.label:
            metrics = _said("  metrics: [accuracy, rouge_l]", "the whole answer alike, and how much of its words")
        task = [_said("  task: test", "the split made above"), metrics]
    limit = [] if model == "pocket" else [_said("  limit: 500", "items per task; leave it out for all")]
    return ["evaluate:", *task, suite, *limit]


def _template(found: Meaning) -> str | None:
    """A template file for columns that no shipped template knows."""
    if found.shape == "instructions":
        first, extra, answer = found.main
        body = [
            f'    input: "{{{{ {first} }}}}{{% if {extra} %}}\\n\\n{{{{ {extra} }}}}{{% endif %}}"',
            f'    target: "{{{{ {answer} }}}}"',
        ]
    elif found.shape == "pairs":
        first, second = found.main
        body = [
            f"    input: \"1: {{{{ {first} }}}}\\n2: {{{{ {second} }}}}\\nWhich of {{{{ labels | join(', ') }}}}?\"",
            '    target: "{{ label }}"',
            "    choices: labels",
        ]
    else:
        return None
    head = [
        "# A wording in Jinja: columns by the file's names. More entries, and per_row in the recipe, give variety.",
        f"task: {found.shape}",
        f"language: {found.language}",
        "templates:",
        "  - name: first",
    ]
    return "\n".join([*head, *body]) + "\n"
