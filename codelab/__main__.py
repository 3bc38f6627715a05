"""`python -m codelab` is the `codelab` command."""

import sys
from typing import NoReturn

from codelab.core.signals import end_on_signals, ignore_signals


def start() -> NoReturn:
    """The command as a process of its own: from its first moment a signal ends it with one line."""
    end_on_signals("codelab")
    from codelab.cli.main import main

    code = main()
    ignore_signals()
    sys.exit(code)


if __name__ == "__main__":
    start()
