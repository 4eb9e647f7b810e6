"""The group of commands, and how its errors reach the user: one line on standard error and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from .._version import __version__
from ..errors import GatewiseError, MissingExtra, ParameterError, meant

COMMANDS = {
    "train": "gatewise.cli.train",
    "generate": "gatewise.cli.generate",
    "score": "gatewise.cli.score",
    "predict": "gatewise.cli.predict",
    "evaluate": "gatewise.cli.evaluate",
    "forecast": "gatewise.cli.forecast",
    "backtest": "gatewise.cli.backtest",
    "show": "gatewise.cli.show",
    "explain": "gatewise.cli.explain",
    "diagnose": "gatewise.cli.diagnose",
    "watch": "gatewise.cli.watch",
    "resume": "gatewise.cli.resume",
    "compare": "gatewise.cli.compare",
    "units": "gatewise.cli.units",
    "cells": "gatewise.cli.cells",
    "bench": "gatewise.cli.bench",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for.

    Args:
        modules: the name of each command, and the module that has it as ``command``.
    """

    def __init__(self, name: str | None = None, *, modules: Mapping[str, str], **options: Any) -> None:
        super().__init__(name, **options)
        self.modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.modules:
            return None
        return importlib.import_module(self.modules[cmd_name]).command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        near = "" if args[0] in self.modules else meant(args[0], self.modules)
        if near:
            ctx.fail(f"No such command {args[0]!r}{near}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ParameterError as error:
            command = self.get_command(ctx, ctx.invoked_subcommand or "")
            raise ParameterError(_as_options(str(error), command)) from error


def _as_options(message: str, command: click.Command | None) -> str:
    """A message about parameters, with the options that the command has for them. A name that is a word too is a parameter's
    only at the beginning, before its value."""
    for option in () if command is None else command.params:
        if isinstance(option, click.Option) and option.name:
            name = re.escape(option.name)
            pattern = rf"(?<![\w'-]){name}(?![\w='])" if "_" in name else rf"^{name}(?= is )"
            message = re.sub(pattern, option.opts[0], message)
    return message


@click.group(
    cls=LazyGroup,
    modules=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="gatewise", message="%(prog)s %(version)s")
def gatewise() -> None:
    """Recurrent neural networks from their equations: train, run and look into them."""


def run(arguments: Sequence[str] | None = None, command: click.Command | None = None) -> int:
    """Run a command, by default the whole command line; returns the exit code."""
    try:
        result = (command or gatewise).main(args=arguments, prog_name="gatewise", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return fail(error.format_message(), error.exit_code)
    except ParameterError as error:
        return fail(error, 2)
    except (GatewiseError, MissingExtra) as error:
        return fail(error, 1)
    except OSError as error:
        if error.filename is not None:
            return fail(f"{error.filename}: {error.strerror}", 1)
        _close_output()
        return fail(f"cannot write the output: {error.strerror or error}", 1)
    except click.Abort as error:
        return stop(error.__cause__)  # click raises it from a KeyboardInterrupt


def _close_output() -> None:
    """Have what is left of an output that cannot be written go nowhere, or Python would try again when it ends."""
    with contextlib.suppress(OSError, ValueError):  # there is no such file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: object, code: int) -> int:
    """Print one line that begins with the name of the program."""
    print(f"gatewise: {' '.join(str(message).split())}", file=sys.stderr)
    return code


def stop(error: BaseException | None) -> int:
    """Say how to go on after Ctrl-C or SIGTERM; training raises an `Interrupted` that knows."""
    checkpoint = getattr(error, "checkpoint", None)
    print(f"gatewise: {str(error or '') or 'interrupted'}", file=sys.stderr)
    if checkpoint is not None:
        print(f"go on with: {shlex.join(['gatewise', 'resume', str(checkpoint)])}", file=sys.stderr)
    return 128 + getattr(error, "signal", signal.SIGINT)
