"""The command line: a command is looked up in `shufflenet.commands` and loaded when it is asked for.

Results go to stdout, messages to stderr. Exit code 0; 1: something failed; 2: can't start; 130: Ctrl-C; 143: SIGTERM.
The package's modules are imported by the commands that need them, so that the others start at once.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn, cast

import click

from shufflenet import __version__

COMMANDS = ("bench", "doctor", "evaluate", "export", "import", "paper", "predict", "summary", "train")


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = "import_" if cmd_name == "import" else cmd_name  # a keyword names no module
        return cast(click.Command, getattr(importlib.import_module(f"shufflenet.commands.{name}"), name))


def main() -> None:
    """The entry point: Ctrl-C ends with 130 and no traceback."""
    signal.signal(signal.SIGTERM, _terminated)
    if sys.stderr is None:  # closed: messages go nowhere
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    if sys.stdout is None:
        click.echo("Error: stdout is closed, and results go there", err=True)
        sys.exit(2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that can't show a letter is no reason to stop
    try:
        code = commands.main(standalone_mode=False)
    except click.ClickException as error:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", err=True, nl=False)  # a progress bar may stand on the line
        error.show()
        code = error.exit_code
    except _TerminatedError:
        _leave(143)
    except (click.Abort, KeyboardInterrupt):
        _leave(130)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "can't allocate memory" not in str(error):  # PyTorch's word for it
            raise
        click.echo("Error: not enough memory; smaller pictures, or fewer at once, take less", err=True)
        _leave(1)
    except OSError as error:  # such as a full disk behind stdout
        with suppress(OSError):
            click.echo(f"Error: {error.filename or 'stdout'}: {error.strerror or error}", err=True)
        _leave(2)
    sys.exit(code)


class _TerminatedError(BaseException):
    """The signal SIGTERM: what is half-written is taken away first."""


def _terminated(*_: object) -> None:
    raise _TerminatedError


def _leave(code: int) -> NoReturn:
    """At once: Python would wait for threads that decode pictures, and try again to write what can't be written."""
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code)


@click.group(cls=_Commands)
@click.version_option(__version__, message="%(prog)s %(version)s", prog_name="shufflenet")
def commands() -> None:
    """ShuffleNet: small image classifiers, trained, run and shipped."""
