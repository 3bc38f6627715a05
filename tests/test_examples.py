"""The notebooks in examples/ run to their end, and print what they show."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT


def printed(notebook):
    """What the cells print, without tables."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_what_it_shows(path):
    notebook = nbformat.read(path, as_version=4)
    shown = printed(notebook)
    NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert printed(notebook) == shown
