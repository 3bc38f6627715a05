"""`python -m codelab` is the `codelab` command."""

import sys

from codelab.cli import main

sys.exit(main())
