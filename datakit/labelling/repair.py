"""JSON out of what a model wrote: fenced, surrounded by talk, with single quotes, trailing commas, or cut off."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

__all__ = ["read_json_answer"]

_FENCE = re.compile(r"```(?:json|JSON)?\s*\n?(.*?)(?:```|\Z)", re.DOTALL)
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_MAX_PIECES = 8
_WORDS = {"true": "True", "false": "False", "null": "None"}


def read_json_answer(text: str) -> tuple[Any | None, bool]:
    """The JSON value that is in a text, mended where that leaves no doubt what was meant.

    Args:
        text: What a model wrote.

    Returns:
        The value, None where there is no object or list in it; and whether it stood there to its end. A value that
        was cut off has lost an unknown part.
    """
    text = _THOUGHT.sub("", text).strip().lstrip("\ufeff")
    candidates = [text, *(match[1].strip() for match in _FENCE.finditer(text))]
    for candidate in candidates:
        found, value = _loads(candidate)
        if found and isinstance(value, (dict, list)):
            return value, True
    for candidate in reversed(candidates):
        for piece, whole in _pieces(candidate):
            for mended in (piece, _plain(piece)) if whole else (_closed(piece), _plain(_closed(piece))):
                found, value = _loads(mended)
                if not found:
                    found, value = _as_python(mended)
                if found and isinstance(value, (dict, list)):
                    return value, whole
    return None, False


def _loads(text: str) -> tuple[bool, Any]:
    try:
        return True, json.loads(text)
    except (ValueError, RecursionError):
        return False, None


def _as_python(text: str) -> tuple[bool, Any]:
    """Single quotes and Python's words: a literal, never code."""
    words = re.sub(r"\b(true|false|null)\b(?=\s*[,}\]])", lambda match: _WORDS[match[1]], text)
    try:
        return True, ast.literal_eval(words)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return False, None


def _pieces(text: str) -> list[tuple[str, bool]]:
    """Outermost bracketed parts (the first few), and whether each is closed; one that is not goes to the end."""
    found: list[tuple[str, bool]] = []
    start = re.search(r"[{\[]", text)
    while start and len(found) < _MAX_PIECES:
        end, whole = _end(text, start.start())
        found.append((text[start.start() : end], whole))
        start = re.compile(r"[{\[]").search(text, end)
    return found


def _end(text: str, start: int) -> tuple[int, bool]:
    """One past the bracket that closes the one at ``start``; the end of the text and False where none does."""
    depth, quote, skip = 0, "", False
    for at in range(start, len(text)):
        char = text[at]
        if skip:
            skip = False
        elif quote:
            skip = char == "\\"
            quote = "" if char == quote else quote
        elif char == '"':
            quote = char
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
            if depth == 0:
                return at + 1, True
    return len(text), False


def _closed(text: str) -> str:
    """The text with an open string and open brackets closed, as where an answer was cut off."""
    stack: list[str] = []
    in_string = skip = False
    for char in text:
        if skip:
            skip = False
        elif in_string:
            skip, in_string = char == "\\", char != '"'
        elif char == '"':
            in_string = True
        elif char in "{[":
            stack.append("}" if char == "{" else "]")
        elif char in "}]" and stack:
            stack.pop()
    if in_string:
        text = (text[:-1] if skip else text) + '"'
    text = re.sub(r'[,\s]*(?:"[^"]*"\s*:\s*)?[,:\s]*\Z', "", text) if stack and not in_string else text
    return text + "".join(reversed(stack))


def _plain(text: str) -> str:
    """Without trailing commas, and with curly quotes made straight where no straight ones stand."""
    if '"' not in text:
        text = text.translate(str.maketrans("“”„", '"""'))
    return re.sub(r",(\s*[}\]])", r"\1", text)
