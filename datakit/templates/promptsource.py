"""Reads promptsource's format: files, folders, archives, and its data set by name.

The tags ``!Template`` and ``!TemplateMetadata`` become plain mappings; any other tag is refused, so no file can make
Python objects.
"""

from __future__ import annotations

import importlib.util
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datakit.core.errors import TemplateError
from datakit.core.registry import suggest
from datakit.core.storage import cache_folder
from datakit.templates.template import Template

__all__ = [
    "INSTALL",
    "archive_files",
    "data_folder",
    "installed_folder",
    "parse",
    "read_archive",
    "read_dataset",
    "read_file",
]

INSTALL = "datakit templates install"

_MAX_FILE = 16 << 20
_MAX_FILES = 20_000


def installed_folder() -> Path:
    """Where ``datakit templates install`` puts promptsource's data: ``$DATAKIT_CACHE/promptsource``."""
    return cache_folder() / "promptsource"


def data_folder() -> Path:
    """The folder of promptsource's data: ``$DATAKIT_PROMPTSOURCE``, the cache, or an installed promptsource.

    Raises:
        TemplateError: There is none; the hint is the line that brings it.
    """
    named = os.environ.get("DATAKIT_PROMPTSOURCE")
    places = [Path(named)] if named else [installed_folder(), *_installed()]
    for folder in places:
        if folder.is_dir():
            return folder
    raise TemplateError(
        f"promptsource's templates are not installed ('{places[0]}' is no folder)",
        hint=f"Run '{INSTALL}', or set DATAKIT_PROMPTSOURCE to a folder that has them",
    )


def _installed() -> list[Path]:
    # Only found, never imported: it needs Python 3.9.
    found = importlib.util.find_spec("promptsource")
    return [Path(place) / "templates" for place in (found.submodule_search_locations or ())] if found else []


def read_dataset(name: str) -> dict[str, Template]:
    """Templates of one of promptsource's datasets, ``ag_news`` or ``glue/mrpc``, by template name.

    Raises:
        TemplateError: Not installed, or no such dataset.
    """
    root = data_folder()
    parts = name.split("/")
    folder = root.joinpath(*parts)
    if not name or any(part in ("", ".", "..") or "\\" in part for part in parts) or not folder.is_dir():
        known = sorted(file.parent.relative_to(root).as_posix() for file in root.rglob("templates.yaml"))
        raise TemplateError(f"promptsource has no dataset '{name}'", where=root, hint=_nearest(name, known))
    found: dict[str, Template] = {}
    for file in sorted(folder.rglob("templates.yaml")):
        below = file.parent.relative_to(folder).as_posix()
        collection = f"promptsource:{name}" if below == "." else f"promptsource:{name}/{below}"
        prefix = "" if below == "." else f"{below}/"
        for template in read_file(file, collection=collection).values():
            found[prefix + template.name] = template
    return found


def _nearest(name: str, known: list[str]) -> str:
    if len(known) <= 20:
        return suggest(name, known)
    return f"{suggest(name, known).partition(' Known:')[0].partition('Known:')[0]} {len(known)} are known".strip()


def read_file(path: Path, *, collection: str | None = None) -> dict[str, Template]:
    """Templates of one file in promptsource's format, by name.

    Raises:
        TemplateError: Unreadable, not UTF-8, no such format: file and line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TemplateError(error.strerror or str(error), where=path) from None
    return parse(data, str(path), collection=collection or str(path))


def read_archive(path: Path) -> dict[str, Template]:
    """Templates of all ``templates.yaml`` in a ``.tar.gz``, by dataset and name; nothing is unpacked to disk.

    Raises:
        TemplateError: Not an archive, or one without templates.
    """
    found: dict[str, Template] = {}
    for name, data in archive_files(path):
        dataset = name.rpartition("/")[0].rpartition("templates/")[2]
        for template in parse(data, f"{path}/{name}", collection=f"{path.name}:{dataset}").values():
            found[f"{dataset}/{template.name}"] = template
    if not found:
        raise TemplateError("the archive has no templates.yaml", where=path)
    return found


def archive_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each ``templates.yaml`` of an archive; links and special files are passed over.

    Raises:
        TemplateError: Not a readable archive, or one that is too large.
    """
    try:
        with tarfile.open(path, "r:*") as archive:
            for count, member in enumerate(archive):
                if count > _MAX_FILES or (member.size > _MAX_FILE and member.name.endswith("templates.yaml")):
                    raise TemplateError("the archive is too large for a set of templates", where=path)
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is not None and member.name.rpartition("/")[2] == "templates.yaml":
                    yield member.name, stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise TemplateError(f"not a readable archive ({error})", where=path) from None


def parse(data: bytes, where: str, *, collection: str) -> dict[str, Template]:
    """Templates of one file's bytes, by name.

    Raises:
        TemplateError: Not UTF-8, not YAML, or not promptsource's format: file and line.
    """
    value = _load(data, where)
    templates = value.get("templates") if isinstance(value, dict) else None
    if not isinstance(templates, dict):
        raise TemplateError("not a file of promptsource's format: it has no mapping 'templates'", where=where)
    dataset = str(value.get("dataset", ""))
    if value.get("subset"):
        dataset = f"{dataset}/{value['subset']}"
    found: dict[str, Template] = {}
    for key, (line, entry) in ((key, _entry(key, entry, where)) for key, entry in templates.items()):
        template = _template(entry, f"{where}:{line}", key, collection)
        if template.name in found:
            raise TemplateError(f"a second template named '{template.name}'", where=template.origin)
        template.task = dataset
        found[template.name] = template
    return found


def _entry(key: Any, entry: Any, where: str) -> tuple[int, dict[str, Any]]:
    if isinstance(entry, _Tagged) and entry.tag == "!Template":
        return entry.line, entry.value
    line = entry.line if isinstance(entry, _Tagged) else 1
    raise TemplateError(f"templates.{key}: not tagged !Template", where=f"{where}:{line}")


def _template(entry: dict[str, Any], where: str, key: Any, collection: str) -> Template:
    for name in ("name", "jinja"):
        if not isinstance(entry.get(name), str):
            raise TemplateError(f"templates.{key}.{name}: a string is needed", where=where)
    choices = entry.get("answer_choices")
    if choices is not None and not isinstance(choices, str):
        raise TemplateError(f"templates.{key}.answer_choices: a string such as 'no ||| yes' is needed", where=where)
    metadata = entry.get("metadata")
    return Template(
        name=entry["name"],
        format="promptsource",
        body={"jinja": entry["jinja"], "answer_choices": choices},
        origin=where,
        collection=collection,
        id=str(entry.get("id", key)),
        reference=str(entry.get("reference") or ""),
        metadata=metadata.value if isinstance(metadata, _Tagged) else dict(metadata or {}),
    )


class _Tagged:
    """A tagged mapping and the line it begins on."""

    def __init__(self, tag: str, value: dict[str, Any], line: int) -> None:
        self.tag, self.value, self.line = tag, value, line


def _load(data: bytes, where: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    def tagged(loader: Any, node: Any) -> _Tagged:
        value = loader.construct_mapping(node, deep=True)
        return _Tagged(node.tag if isinstance(node.tag, str) else str(node.ctag), value, node.start_mark.line + 1)

    # promptsource writes YAML 1.1: there an unquoted `no` is false, and such words stand in quotes.
    reader = YAML(typ="safe", pure=True)
    reader.version = (1, 1)
    reader.Constructor = _constructor("tag:yaml.org,2002:bool", _yes_or_no, reader.Constructor)
    for tag in ("!Template", "!TemplateMetadata"):
        reader.Constructor = _constructor(tag, tagged, reader.Constructor)
    try:
        return reader.load(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise TemplateError(f"not valid UTF-8 at byte {error.start}", where=where) from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise TemplateError(f"not valid YAML: {error.problem or error}", where=f"{where}:{line}") from None
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        raise TemplateError(f"not valid YAML: {error}", where=where) from None


def _constructor(tag: str, build: Any, base: Any) -> Any:
    constructors = {**base.yaml_constructors, tag: build}
    return type("Constructor", (base,), {"yaml_constructors": constructors})


def _yes_or_no(loader: Any, node: Any) -> bool | str:
    # PyYAML, which wrote the files, takes these four for letters.
    return str(node.value) if node.value in ("y", "Y", "n", "N") else bool(loader.construct_yaml_bool(node))
