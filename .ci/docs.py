"""Puts what ``--help`` prints into docs/commands.md, under the prose of each command; ``make docs`` runs it.

A section begins with ``### NAME`` and ends with the block this writes; the prose between is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from datakit.cli import root
from datakit.cli.commands import COMMANDS, GROUPS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "commands.md"
HEAD = """\
# Commands

Every command answers `--help`; those pages stand here as they are printed (`make docs` puts them in). Where a command
prints results, `--json` prints them as one JSON object and `--quiet` nothing. Exit codes: 0 fine, 1 error (one line),
2 usage, 3 regressed, 4 not enough items to say, 5 training diverged, 6 out of memory, 7 disk full, 130 and 143 for
signals.
"""


def help_page(name: str) -> str | None:
    """What ``datakit NAME --help`` prints in 80 columns; None while the command's module is missing."""
    if not (ROOT / "datakit" / "cli" / f"{COMMANDS[name].module}.py").exists():
        return None
    context = click.Context(root, info_name="datakit", **root.context_settings)
    command = root.get_command(context, name)
    if command is None:
        return None
    inner = click.Context(command, info_name=name, parent=context, terminal_width=80)
    return "\n".join(line.rstrip() for line in command.get_help(inner).splitlines()).strip()


def prose(page: str, name: str) -> str:
    """The hand-written part of a section."""
    match = re.search(rf"^### {name}\n(.*?)(?=^```console\n\$ datakit {name} --help\n|^##|\Z)", page, re.M | re.S)
    return match[1].strip() if match else COMMANDS[name].help


def page(old: str) -> str:
    """The whole page, with the prose of the old one."""
    parts = [HEAD]
    for group in GROUPS:
        parts.append(f"\n## {group}\n")
        for name, entry in COMMANDS.items():
            if entry.group != group:
                continue
            parts.append(f"\n### {name}\n\n{prose(old, name)}\n")
            text = help_page(name)
            if text is not None:
                parts.append(f"\n```console\n$ datakit {name} --help\n{text}\n```\n")
    return "".join(parts)


def main() -> int:
    """Writes the page; with ``--check`` only says, by exit code 1, that it is not what would be written."""
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if "--check" in sys.argv[1:]:
        return int(new != old)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
