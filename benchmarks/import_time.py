"""Claim: `import codelab` takes milliseconds, because torch and numba load when first used.

python benchmarks/import_time.py
"""

import subprocess
import sys

SCRIPT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"

for module in ("codelab", "codelab.core.codes", "codelab.retrieval.measures", "numpy", "numba", "torch"):
    runs = [float(subprocess.check_output([sys.executable, "-c", SCRIPT.format(module)])) for _ in range(5)]
    print(f"import {module}: {min(runs):.3f} s (best of 5 fresh processes)")
