"""The frame of every command: subcommands with examples, one exact line for what is wrong, and the exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from codelab.core.errors import CodelabError, DataError, UsageError

RANK = int(os.environ.get("RANK", "0"))
"""The number of this process among those that `torchrun` started."""
_EXTRAS = {"torch": "models", "torchvision": "models", "timm": "models", "safetensors": "models"}


class Parser(argparse.ArgumentParser):
    """One exact line for a wrong call, instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        text = "" if RANK else f"{self.prog}: {message} (see {self.prog} --help)\n"
        self.exit(UsageError.exit_code, text)


def subcommands(parser: Parser) -> Callable[..., argparse.ArgumentParser]:
    """A function `command(name, run, what, *examples)` that adds a subcommand and returns its parser."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def command(name: str, run: Callable[[argparse.Namespace], Any], what: str, *examples: str) -> Any:
        sub = commands.add_parser(
            name,
            help=what,
            description=what[0].upper() + what[1:] + ".",
            epilog="examples:\n" + "\n".join(f"  {parser.prog} {name} {example}".rstrip() for example in examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=run)  # no config field may have this name: every field is a flag of train
        return sub

    return command


def whole_number(least: int) -> Callable[[str], int]:
    """The type of an option: a whole number of `least` or more."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of {least} or more, found {text!r}")
        return value

    return number


def timm_options(sub: argparse.ArgumentParser) -> None:
    """What goes with timm:NAME in the place of a checkpoint."""
    sub.add_argument("--bits", type=whole_number(1), help="with timm:NAME, bits of the head (default: 256)")
    sub.add_argument("--random-weights", action="store_true", help="with timm:NAME, do not load pretrained weights")


def run(work: Callable[[], object], *, name: str) -> int:
    """Do the work; returns the exit code: 0 done, 1 the work failed, 2 the call is wrong, 130 interrupted.

    Under `torchrun` the first process speaks for all where all come to the same end.
    """
    try:
        work()
    except CodelabError as error:
        if RANK and isinstance(error, UsageError):
            return error.exit_code
        for line in error.details:
            print(f"  {line}", file=sys.stderr)
        print(f"{name}: {f'process {RANK}: ' if RANK else ''}{error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in _EXTRAS:
            raise
        print(f"{name}: this command needs {package}: pip install 'codelab[{_EXTRAS[package]}]'", file=sys.stderr)
        return UsageError.exit_code
    except BrokenPipeError:  # `codelab … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"{name}: {error.filename or 'file'}: {error.strerror or error}", file=sys.stderr)
        return DataError.exit_code
    except KeyboardInterrupt as stop:
        if not RANK:
            print(f"{name}: interrupted{f': {stop}' if str(stop) else ''}", file=sys.stderr)
        return 130
    return 0
