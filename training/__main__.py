"""`python -m training CONFIG`: train from a YAML file and flags."""

from __future__ import annotations

import argparse
import sys

from codelab.errors import CodelabError
from training.config import add_flags, flags_given, load_config
from training.loop import fit


def main(arguments: list[str] | None = None) -> int:
    """Train; 0 done, 1 the work failed, 2 the call is wrong, 130 stopped by a signal."""
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train an encoder without labels.",
        epilog="example: python -m training configs/demo.yaml --run runs/mine --beta 0.2",
    )
    parser.add_argument("config", nargs="?", help="YAML file of config fields")
    parser.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    parser.add_argument("--fresh", action="store_true", help="throw away an earlier run in the same folder")
    add_flags(parser)
    given = parser.parse_args(arguments)
    try:
        print(fit(load_config(given.config, flags_given(given)), resume=given.resume, fresh=given.fresh))
    except CodelabError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as stopped:
        print(f"stopped: {stopped}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
