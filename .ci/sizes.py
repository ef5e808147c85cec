"""Prints long files and functions, and fails where a file wants a second idea taken out of it.

Lines are counted as they stand, comments and blanks included: what a reader scrolls through is what is measured.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("datakit", "train", "evalkit", "benchmarks", "examples", "tests", ".ci")
FILE_SHOWN, FILE_LIMIT, FUNCTION_SHOWN = 250, 400, 45


def functions(path: Path, tree: ast.Module) -> list[tuple[int, str]]:
    """Length and place of every function over the shown length, decorators left out."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > FUNCTION_SHOWN:
                found.append((length, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"))
    return found


def main() -> int:
    """Prints the tables; 1 where a file is over the limit."""
    files: list[tuple[int, str]] = []
    long_functions: list[tuple[int, str]] = []
    total = 0
    paths = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    for path in paths:
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        total += lines
        if lines > FILE_SHOWN:
            files.append((lines, str(path.relative_to(ROOT))))
        long_functions += functions(path, ast.parse(text))
    print(f"{len(paths)} files, {total:,} lines")
    for title, rows in (
        (f"files over {FILE_SHOWN} lines", files),
        (f"functions over {FUNCTION_SHOWN}", long_functions),
    ):
        print(f"{title}: {len(rows) or 'none'}")
        for length, name in sorted(rows, reverse=True):
            print(f"  {length:4}  {name}")
    over = [name for length, name in files if length > FILE_LIMIT]
    for name in over:
        print(f"error: {name} is over {FILE_LIMIT} lines; take a second idea out of it", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
