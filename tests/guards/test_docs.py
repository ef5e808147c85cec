"""Every command is documented, its help has examples, and README and docs name only what exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from datakit.cli import root
from datakit.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    """The part of docs/commands.md under the command's heading."""
    match = re.search(rf"^### {name}\n(.*?)(?=^#|\Z)", DOCS, flags=re.MULTILINE | re.DOTALL)
    assert match, f"docs/commands.md has no section '### {name}'"
    return match[1]


def load(name: str) -> click.Command:
    if not (ROOT / "datakit" / "cli" / f"{COMMANDS[name].module}.py").exists():
        pytest.skip(f"datakit/cli/{COMMANDS[name].module}.py is not there yet")
    command = root.get_command(click.Context(root), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_documented(name: str) -> None:
    """With prose of its own, not only the help page."""
    prose = section(name).partition("```console")[0]
    assert f"datakit {name}" in prose
    assert len(prose.split()) >= 12


def test_nothing_else_is_documented() -> None:
    assert set(re.findall(r"^### (\S+)$", DOCS, flags=re.MULTILINE)) == set(COMMANDS)


def test_help_pages_are_current() -> None:
    """What --help prints stands in docs/commands.md.

    In a process of its own: click keeps a command's help option from the first call, whatever that call was.
    """
    done = subprocess.run([sys.executable, str(ROOT / ".ci" / "docs.py"), "--check"], cwd=ROOT, env=ENVIRONMENT)
    assert done.returncode == 0, "run: make docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(name: str) -> None:
    text = load(name).help or ""
    _, mark, examples = text.partition("Examples:\n")
    assert mark, "no 'Examples:' block"
    assert "\b\n" in text, "the examples would be wrapped into one paragraph"
    lines = [line.strip() for line in examples.splitlines() if line.strip().startswith("$")]
    assert lines
    for line in lines:
        assert f"datakit {name}" in line
        assert len(line) <= 76


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_on_the_first_page(name: str) -> None:
    line = COMMANDS[name].help
    assert len(line) <= 66
    assert line.endswith(".")


@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
    ],
)
def test_links_lead_somewhere(file: str) -> None:
    path = ROOT / file
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), f"{file} links to {target}"


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(file: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert named <= targets


def test_readme_names_commands_that_exist() -> None:
    blocks = "\n".join(re.findall(r"```.*?```", README, flags=re.DOTALL)) + "\n".join(re.findall(r"`[^`\n]+`", README))
    assert set(re.findall(r"\bdatakit ([a-z]+)", blocks)) <= set(COMMANDS)


def test_tree_in_readme_exists() -> None:
    """Paths in the annotated tree are there; the first column of the fenced block that begins with ``datakit/``."""
    block = re.search(r"```text\n(datakit/.*?)```", README, flags=re.DOTALL)
    assert block
    folders: list[str] = []
    for line in block[1].splitlines():
        match = re.match(r"^( *)(\S+)", line)
        if not match:
            continue
        depth, name = len(match[1]) // 2, match[2]
        if depth > len(folders):
            continue  # the second line of an annotation
        path = ROOT.joinpath(*folders[:depth], name)
        assert path.exists(), f"README's tree names {path.relative_to(ROOT)}"
        if name.endswith("/"):
            folders[depth:] = [name]


def test_no_machine_paths_in_tracked_text() -> None:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git work tree")
    pattern = re.compile(r"(?<![A-Za-z0-9_.$}/])/(?:home|root|Users)/[a-z]")
    found = []
    for name in filter(None, done.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".yaml", ".yml", "") and path.is_file():
            text = path.read_bytes().decode("utf-8", "replace")
            found += [f"{name}: {match[0]}" for match in pattern.finditer(text) if path != Path(__file__)]
    assert not found
