"""`python -m training CONFIG`, and `torchrun -m -- training CONFIG`: the command `codelab train`.

The two dashes keep `torchrun` from taking --run for an option of its own.
"""

import sys

from codelab.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
