"""Claim: `import codelab` takes under 0.3 s, for torch and numba load when first used.

python benchmarks/import_time.py
"""

import subprocess
import sys

SCRIPT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"

for module in ("codelab", "codelab.core.codes", "codelab.retrieval.measures", "numpy", "numba", "torch"):
    runs = [
        float(subprocess.run([sys.executable, "-c", SCRIPT.format(module)], capture_output=True, text=True).stdout)
        for _ in range(5)
    ]
    print(f"import {module}: {min(runs):.3f} s (best of 5 fresh processes)")
