"""The command line, `shufflenet COMMAND`: each command is a module of `shufflenet.commands`, imported on first use.

Results go to stdout, messages to stderr. Exit codes: 0 success, 1 something failed, 2 the command could not start,
130 interrupted by Ctrl-C, 143 ended by SIGTERM. A command imports the package's modules inside its function, so that
`shufflenet --help` and the commands that don't need PyTorch start at once.
"""

from __future__ import annotations

import difflib
import importlib
import io
import os
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn, cast

import click

from shufflenet import __version__

COMMANDS = (
    "bench",
    "doctor",
    "embed",
    "evaluate",
    "export",
    "import",
    "info",
    "models",
    "paper",
    "predict",
    "quantize",
    "serve",
    "similar",
    "summary",
    "train",
)


class _Commands(click.Group):
    """The group of all commands; imports a command's module only when that command is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = "import_" if cmd_name == "import" else cmd_name  # `import` is a keyword, so no module can be called that
        return cast(click.Command, getattr(importlib.import_module(f"shufflenet.commands.{name}"), name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command; a mistyped name is refused with the nearest one."""
        if args and args[0] not in COMMANDS and (near := difflib.get_close_matches(args[0], COMMANDS, 1)):
            ctx.fail(f"No such command '{args[0]}'. Did you mean {near[0]}?")
        return super().resolve_command(ctx, args)


def main() -> None:
    """Runs the command line's arguments and exits with the codes above; Ctrl-C prints no traceback."""
    signal.signal(signal.SIGTERM, _terminated)
    if sys.stderr is None:  # closed by the caller: messages are dropped
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - open until the process ends
    elif isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = io.TextIOWrapper(
            _Messages(sys.stderr.fileno(), "wb", closefd=False),
            encoding=sys.stderr.encoding,
            errors="backslashreplace",
            write_through=True,
        )
    if sys.stdout is None:
        click.echo("Error: stdout is closed, and results go there", err=True)
        sys.exit(2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for terminals that lack a character
    try:
        code = commands.main(standalone_mode=False)
    except click.ClickException as error:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", err=True, nl=False)  # clears a progress bar or status line
        error.show()
        code = error.exit_code
    except _TerminatedError:
        _leave(143)
    except (click.Abort, KeyboardInterrupt):
        _leave(130)
    except (MemoryError, RuntimeError) as error:
        missing = _missing(error)
        if not missing:
            raise
        click.echo(f"Error: {missing}", err=True)
        _leave(1)
    except OSError as error:  # for example stdout is a file on a full disk
        with suppress(OSError):
            click.echo(f"Error: {error.filename or 'stdout'}: {error.strerror or error}", err=True)
        _leave(2)
    sys.exit(code)


def _missing(error: MemoryError | RuntimeError) -> str:
    """What of the machine's an error says is used up, and what to do; empty: nothing."""
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # PyTorch's message
        return "not enough memory; use smaller pictures or a smaller batch"
    if "can't start new thread" in str(error):  # Python's
        return "the system starts no more threads; end other programs, or raise its limit (ulimit -u)"
    return ""


class _Messages(io.FileIO):
    """stderr, where messages that can't be written are dropped: on a full disk, say, or into a closed pipe.

    Results and the exit code do not depend on who reads the messages.
    """

    def write(self, data: Any) -> int:
        left = memoryview(data)
        with suppress(OSError):
            while left and (count := super().write(left)):  # None: a pipe that is full, and not waited for
                left = left[count:]
        return len(data)


class _TerminatedError(BaseException):
    """Raised by SIGTERM, so that `finally` blocks remove half-written files before the process ends."""


def _terminated(*_: object) -> None:
    raise _TerminatedError


def _leave(code: int) -> NoReturn:
    """Ends the process without Python's shutdown, which would wait for decoding threads and flush stdout again."""
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Completion of commands, options, models and targets, for ~/.bashrc (zsh_source and fish_source likewise): "
    'eval "$(_SHUFFLENET_COMPLETE=bash_source shufflenet)"',
)
@click.version_option(__version__, message="%(prog)s %(version)s", prog_name="shufflenet")
def commands() -> None:
    """ShuffleNet: small image classifiers, trained, run and shipped."""
