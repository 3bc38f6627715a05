"""What the explorer imports before its first page, in a process of its own."""

import json
import subprocess
import sys

from tests.conftest import ROOT

FIRST_PAGE = """
import json, sys, time
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app/main.py", default_timeout=60).run()
assert not app.exception
for _ in range(600):
    if hasattr(sys.modules.get("app.screens.overview"), "show"):
        break
    time.sleep(0.1)
print(json.dumps(sorted(sys.modules)))
"""


def test_the_first_page_imports_no_other_page_and_no_library_that_it_does_not_use():
    out = subprocess.check_output([sys.executable, "-c", FIRST_PAGE], cwd=ROOT, stderr=subprocess.DEVNULL)
    loaded = set(json.loads(out.splitlines()[-1]))
    assert {name for name in loaded if name.startswith("app.screens.")} == {"app.screens.overview"}
    assert not loaded & {"scipy.stats", "sklearn", "torch", "umap", "numba", "plotly.figure_factory"}
