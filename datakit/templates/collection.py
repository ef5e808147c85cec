"""Finds templates by name or path: the shipped library, files, folders, archives and promptsource's data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from datakit.core.errors import TemplateError
from datakit.core.registry import suggest
from datakit.templates import ours, promptsource
from datakit.templates.template import Template

__all__ = ["LIBRARY", "library_names", "load_collection", "load_library", "select"]

LIBRARY = Path(__file__).parent / "library"

_PROMPTSOURCE = "promptsource:"
_TAGGED = re.compile(rb"^[^#\n]*!Template\b", re.MULTILINE)


def library_names() -> list[str]:
    """``classify.en``, ``classify.ko``, ...: what the shipped library has."""
    return sorted(file.stem for file in LIBRARY.glob("*.yaml"))


@cache
def _library(name: str) -> dict[str, Template]:
    return ours.read_file(LIBRARY / f"{name}.yaml", collection=name, trusted=True)


def load_library(name: str, *, language: str = "en") -> dict[str, Template]:
    """Wordings of a task of the shipped library: ``classify`` in the language given, or ``classify.ko``.

    Raises:
        TemplateError: No such task, or not in this language.
    """
    known = library_names()
    for candidate in (name, f"{name}.{language}"):
        if candidate in known:
            return dict(_library(candidate))
    languages = sorted(stem.rpartition(".")[2] for stem in known if stem.rpartition(".")[0] == name)
    if languages:
        raise TemplateError(f"no templates '{name}' in the language '{language}'", hint=f"There are {languages}")
    tasks = sorted({stem.rpartition(".")[0] for stem in known})
    raise TemplateError(f"no templates named '{name}'", hint=suggest(name, tasks) + ", a file, or promptsource:NAME")


def load_collection(path_or_name: str | Path, *, language: str = "en") -> dict[str, Template]:
    """Templates by name.

    Args:
        path_or_name: A file of our format or promptsource's, a folder or a ``.tar.gz`` of such files,
            ``promptsource:ag_news``, ``promptsource:glue/mrpc``, or a task of the shipped library (``classify``).
        language: Of the library's wordings.

    Returns:
        Template name to template. In a folder or archive of several files the name has the file's folder in front:
        ``glue/mrpc/want to know``.

    Raises:
        TemplateError: Not there, not readable, or not a template file.
    """
    name = str(path_or_name)
    if name.startswith(_PROMPTSOURCE):
        return promptsource.read_dataset(name.removeprefix(_PROMPTSOURCE))
    path = Path(path_or_name)
    if path.is_dir():
        return _read_folder(path)
    if path.is_file():
        return promptsource.read_archive(path) if name.endswith((".tar.gz", ".tgz", ".tar")) else _read_file(path)
    if isinstance(path_or_name, Path) or "/" in name or path.suffix in (".yaml", ".yml", ".gz", ".tgz", ".tar"):
        raise TemplateError("no such file or folder", where=path)
    return load_library(name, language=language)


def _read_file(path: Path) -> dict[str, Template]:
    try:
        tagged = _TAGGED.search(path.read_bytes())
    except OSError as error:
        raise TemplateError(error.strerror or str(error), where=path) from None
    return promptsource.read_file(path) if tagged else ours.read_file(path)


def _read_folder(folder: Path) -> dict[str, Template]:
    found: dict[str, Template] = {}
    files = sorted(file for pattern in ("*.yaml", "*.yml") for file in folder.rglob(pattern) if file.is_file())
    for file in files:
        below = file.relative_to(folder)
        # promptsource calls every file templates.yaml: there the folder is the name, elsewhere the file's.
        prefix = (below.parent if below.stem == "templates" else below.with_suffix("")).as_posix()
        for template in _read_file(file).values():
            found[template.name if prefix == "." else f"{prefix}/{template.name}"] = template
    if not found:
        raise TemplateError("the folder has no template file (*.yaml)", where=folder)
    return found


def select(use: str | Sequence[str], *, folder: Path = Path(), language: str = "en") -> list[Template]:
    """The templates that a recipe's ``use:`` names, in its order, each once.

    Args:
        use: ``classify`` (all wordings), ``classify.ko``, ``classify/short`` (one), a path relative to ``folder``,
            ``path:NAME`` (one of its templates), ``promptsource:glue/mrpc``, ``promptsource:glue/mrpc:NAME``.
        folder: Where relative paths start.
        language: For library names without one.

    Raises:
        TemplateError: An entry that names nothing.
    """
    found: dict[str, Template] = {}
    for entry in [use] if isinstance(use, str) else use:
        for template in _entry(entry, folder, language):
            found.setdefault(template.key, template)
    return list(found.values())


def _entry(entry: str, folder: Path, language: str) -> list[Template]:
    if entry.startswith(_PROMPTSOURCE):
        dataset, _, name = entry.removeprefix(_PROMPTSOURCE).partition(":")
        return _named(promptsource.read_dataset(dataset), name, entry)
    for path, name in _path_splits(entry):
        if (folder / path).is_file() or (folder / path).is_dir():
            found = load_collection(folder / path)
            for template in found.values():
                # A template is known by the path the recipe writes, wherever the recipe's folder lies.
                template.collection = template.collection.replace(str(folder / path), path, 1)
            return _named(found, name, entry)
    head, _, name = entry.partition("/")
    tasks = {stem.rpartition(".")[0] for stem in library_names()} | set(library_names())
    if head in tasks:
        return _named(load_library(head, language=language), name, entry)
    if re.search(r"\.(ya?ml|gz|tgz|tar)(:|$)", entry):
        raise TemplateError(f"no such file: '{entry}'", where=folder)
    return _named(load_library(entry, language=language), "", entry)


def _path_splits(entry: str) -> list[tuple[str, str]]:
    cuts = [match.start() for match in re.finditer(":", entry)]
    return [(entry, ""), *((entry[:cut], entry[cut + 1 :]) for cut in cuts)]


def _named(found: dict[str, Template], name: str, entry: str) -> list[Template]:
    if not name:
        return list(found.values())
    if name not in found:
        raise TemplateError(f"no template '{name}' in '{entry}'", hint=suggest(name, list(found)))
    return [found[name]]
