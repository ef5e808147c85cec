"""YAML 1.2 read safely, with the line of every key, so that an error can say where it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datakit.core.errors import RecipeError

__all__ = ["Document", "load_yaml"]


class Document:
    """A parsed file.

    Attributes:
        path: The file.
        value: Plain Python values.
    """

    def __init__(self, path: Path, value: Any, marked: Any) -> None:
        self.path = path
        self.value = value
        self._marked = marked

    def line(self, keys: Sequence[str | int]) -> int:
        """Line (from 1) of the key at this path, or of its nearest parent that stands in the file."""
        node, line = self._marked, 1
        for key in keys:
            try:
                position = node.lc.key(key) if hasattr(node, "keys") else node.lc.item(key)
                line, node = position[0] + 1, node[key]
            except (AttributeError, KeyError, IndexError, TypeError):
                break
        return line

    def where(self, keys: Sequence[str | int]) -> str:
        """``file:line: key.path`` for an error."""
        path = ".".join(str(key) for key in keys)
        return f"{self.path}:{self.line(keys)}" + (f": {path}" if path else "")


def load_yaml(path: Path) -> Document:
    """Reads one YAML 1.2 document: ``1e-5`` is a number, ``no`` is a word; tags are refused.

    Raises:
        RecipeError: Missing, unreadable, not UTF-8, or not valid YAML (with its line).
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise RecipeError("no such file", where=path) from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"not valid UTF-8 at byte {error.start}", where=path) from None
    except OSError as error:
        raise RecipeError(error.strerror or str(error), where=path) from error
    try:
        value = YAML(typ="safe", pure=True).load(text)
        marked = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"not valid YAML: {error.problem or error}", where=f"{path}:{line}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"not valid YAML: {error}", where=path) from None
    return Document(path, value, marked)
