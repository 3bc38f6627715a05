"""The frame of every command: subcommands with examples, errors in one exact line, and the exit code."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from codelab.core.errors import CodelabError, DataError, Terminated, UsageError, first_line, printable, shortened
from codelab.core.io import naming
from codelab.core.signals import ignore_signals

RANK = int(os.environ.get("RANK", "0"))
"""The number of this process among those that `torchrun` started."""
_EXTRAS = {"torch": "models", "torchvision": "models", "timm": "models", "safetensors": "models"}


class Parser(argparse.ArgumentParser):
    """A parser that answers a wrong call with one exact line, instead of the whole usage."""

    when_chosen: Callable[[Parser], None] | None = None
    """Adds the options of a command once it is the one that was called, where to describe them costs time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        add, self.when_chosen = self.when_chosen, None
        if add is not None:
            add(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        text = "" if RANK else f"{shortened(printable(f'{self.prog}: {message} (see {self.prog} --help)'))}\n"
        self.exit(UsageError.exit_code, text)


class AddCommand(Protocol):
    """Adds the subcommand `name`, which calls `run` with its options, and returns its parser."""

    def __call__(
        self, name: str, run: Callable[[argparse.Namespace], Any], what: str, /, *examples: str
    ) -> Parser: ...


def subcommands(parser: Parser) -> AddCommand:
    """A function that adds subcommands to a parser; `what` a command does becomes its help."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def command(name: str, run: Callable[[argparse.Namespace], Any], what: str, /, *examples: str) -> Parser:
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
    """Options that go with timm:NAME, given in place of a checkpoint."""
    sub.add_argument("--bits", type=whole_number(1), help="with timm:NAME, bits of the head (default: 256)")
    sub.add_argument("--random-weights", action="store_true", help="with timm:NAME, do not load pretrained weights")


def overwrite_option(sub: argparse.ArgumentParser) -> None:
    """`--overwrite`, without which no output that is there is replaced."""
    sub.add_argument("--overwrite", action="store_true", help="replace an output that is there already")


def group_option(sub: argparse.ArgumentParser, effect: str, *, when: str = "") -> None:
    """`--group`, which says which images are near copies.

    Args:
        effect: what is done with near copies.
        when: what the option goes with, put before its help.
    """
    text = f"near copies have one value in this item column, and {effect}; 'none': all images differ"
    sub.add_argument("--group", metavar="COLUMN", help=f"{when}{text}")


def run(work: Callable[[], object], *, name: str) -> int:
    """Do the work; returns the exit code: 0 done, 1 the work failed, 2 the call is wrong.

    128 and the number of the signal where one stopped it: 130 for SIGINT, 143 for SIGTERM.

    Under `torchrun` an error that every process meets is printed by the first alone. A warning is one line, as an
    error is.
    """

    def one_line(message: Warning | str, *_: Any, **__: Any) -> None:
        _say(f"{name}: warning: {' '.join(str(message).split())}")

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that is not UTF-8 is printed by its bytes
    with warnings.catch_warnings():
        warnings.showwarning = one_line
        return _done(work, name)


def _say(line: str) -> None:
    print(shortened(printable(line)), file=sys.stderr)


def _done(work: Callable[[], object], name: str) -> int:
    try:
        with naming("standard output"):  # whatever writes a file names it itself
            work()
            sys.stdout.flush()
    except CodelabError as error:
        if RANK and isinstance(error, UsageError):
            return error.exit_code
        for line in error.details:
            _say(f"  {line}")
        _say(f"{name}: {f'process {RANK}: ' if RANK else ''}{error}")
        return error.exit_code
    except MemoryError as error:
        _say(f"{name}: out of memory ({first_line(error)})")
        return DataError.exit_code
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in _EXTRAS:
            raise
        print(f"{name}: this command needs {package}: pip install 'codelab[{_EXTRAS[package]}]'", file=sys.stderr)
        return UsageError.exit_code
    except ImportError as error:  # what the loader says of `ulimit -v`
        if not any(words in str(error) for words in ("failed to map segment", "annot allocate memory")):
            raise
        _say(f"{name}: out of memory ({first_line(error)})")
        return DataError.exit_code
    except BrokenPipeError:  # `codelab … | head`
        _drop_output()
    except OSError as error:
        _say(f"{name}: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}")
        if error.filename == "standard output":
            _drop_output()
        return DataError.exit_code
    except KeyboardInterrupt as stop:
        ignore_signals()
        if not RANK:
            print(f"{name}: interrupted{f': {stop}' if str(stop) else ''}", file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
    return 0


def _drop_output() -> None:
    """What is still in the buffer of stdout goes nowhere, instead of failing once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
