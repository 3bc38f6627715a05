"""`python -m codelab` is the `codelab` command."""

import sys

from codelab.cli.main import main

sys.exit(main())
