"""CONTRIBUTING.md's example, done word for word in a copy of the package: one file and one entry, shown everywhere."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.support.synthetic import fair_bits

SECTIONS = "codelab/analysis/sections.py"


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A folder with the package as CONTRIBUTING.md extends it, and codes; no other file is touched."""
    folder = tmp_path_factory.mktemp("contributing")
    for package in ("codelab", "app"):
        shutil.copytree(ROOT / package, folder / package)
    text = (ROOT / "CONTRIBUTING.md").read_text()
    measure, import_line, entry = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    name, code = re.fullmatch(r"# (\S+)\n(.*)", measure, re.DOTALL).groups()
    assert not (folder / name).exists()
    (folder / name).write_text(code)
    registry = (folder / SECTIONS).read_text()
    end = re.search(r"^SECTIONS = \(\n.*?^\)$", registry, re.DOTALL | re.MULTILINE).end() - 1
    first = registry.index("from codelab.measures.")
    (folder / SECTIONS).write_text(registry[:first] + import_line + registry[first:end] + entry + registry[end:])
    fair_bits(400, 8).save(folder / "codes.parquet")
    return folder


def python(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_terminal_shows_the_new_measure(extended):
    said = " ".join(re.sub(r"[│┃]", " ", python(extended, "-m", "codelab", "analyze", "codes.parquet")).split())
    assert re.search(r"bit_drift largest [+-]0\.\d{3} \(bit \d\) change of the share of ones", said)


def test_the_json_has_all_of_its_fields(extended):
    found = json.loads(python(extended, "-m", "codelab", "analyze", "codes.parquet", "--json"))
    assert len(found["bit_drift"]["drift"]) == found["bit_drift"]["source"]["bits"] == 8


def test_the_report_has_its_chart_and_its_column(extended):
    python(extended, "-m", "codelab", "report", "codes.parquet", "--out", "report.html")
    page = (extended / "report.html").read_text()
    assert "<h3>Drift of each bit</h3><figcaption>Share of ones in the second half" in page
    assert "<th>drift</th>" in page
    assert "drift of the share of ones" in page  # the axis of its figure


def test_its_figure_and_its_example_work(extended):
    python(extended, "-m", "doctest", "codelab/measures/bit_drift.py")
    code = "import codelab; r = codelab.analyze(codelab.load('codes.parquet'), sections=['bit_drift'])['bit_drift']"
    assert python(extended, "-c", f"{code}; print(len(r.plot().data[0].y))") == "8\n"


def test_the_explorer_has_its_chart_and_its_column(extended):
    shown = python(
        extended,
        "-c",
        """
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app/main.py", default_timeout=100)
app.query_params["codes"] = "codes.parquet"
print([e.key for e in app.run().get("plotly_chart")])
app._page_hash = app.session_state["pages"]["bits"]._script_hash
print(app.run().dataframe[0].value.columns.tolist())
""",
    )
    charts, columns = shown.splitlines()
    assert "'bit_drift'" in charts
    assert columns == "['bit', 'p', 'entropy', 'state', 'drift']"
