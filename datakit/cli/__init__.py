"""The ``datakit`` command: one file per command, imported when it is called, errors as one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, cast

import click

from datakit.cli.commands import COMMANDS, GROUPS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["LazyGroup", "main", "root"]


class LazyGroup(click.Group):
    """Knows every command's name and one-line help without importing any of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help page, those of installed plugins last."""
        return [*COMMANDS, *_plugins()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the one command that is called."""
        if cmd_name not in COMMANDS:
            found = _plugins().get(cmd_name)
            return None if found is None else cast("click.Command", found.load())
        import importlib

        command: click.Command = importlib.import_module(f"datakit.cli.{COMMANDS[cmd_name].module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Adds the nearest name to click's message."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and args[0] not in _plugins():
            from datakit.core.registry import suggest

            ctx.fail(f"No such command '{args[0]}'. {suggest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under their headings."""
        for group in GROUPS:
            rows = [(name, command.help) for name, command in COMMANDS.items() if command.group == group]
            with formatter.section(group):
                formatter.write_dl(rows)
        if plugins := _plugins():
            with formatter.section("Plugins"):
                formatter.write_dl([(name, f"Of {_origin(plugin)}.") for name, plugin in plugins.items()])


def _plugins() -> dict[str, EntryPoint]:
    """Commands of installed packages by name; none is imported, and none replaces one of ours."""
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group="datakit.commands")}
    return {name: found[name] for name in sorted(found) if name not in COMMANDS}


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(package_name="datakit", prog_name="datakit")
def root() -> None:
    """Raw data to instruction dataset, training, and a report of what was forgotten.

    Begin with `datakit demo`, then `datakit init YOUR_FILE`.
    """


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, b"stopped by SIGTERM\n")  # stderr may be in the middle of a line of its own
    raise SystemExit(128 + number)


def _interrupted() -> NoReturn:
    click.echo("stopped by SIGINT", err=True)
    sys.exit(130)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of the console script; never returns.

    Exit codes: 0 fine, 1 error, 2 usage, 3 regressed, 4 not enough items, 5 diverged, 6 out of memory, 7 disk full,
    130 and 143 for signals. An error the user can mend is one line; a bug keeps its traceback.
    """
    from datakit.core.errors import DatakitError
    from datakit.core.require import prefer_own_packages

    prefer_own_packages()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a row's text must not end the command on a Latin-1 terminal
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = root.main(args=arguments, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        _interrupted()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DatakitError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _interrupted()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            place = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {place}no space left on the disk. Free some space and run it again", err=True)
            sys.exit(7)
        raise
