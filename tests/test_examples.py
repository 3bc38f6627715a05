"""The notebooks in examples/ run to their end, and print what they show."""

import nbformat
import pytest
from nbclient import NotebookClient

from codelab import Encoder, read_ledger
from codelab.images.encoder import EncoderConfig
from tests.conftest import ROOT


def printed(notebook):
    """What the cells print, without tables."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


@pytest.fixture(scope="module", autouse=True)
def run(tmp_path_factory):
    """A run folder with the encoders of a demo that was cut short, so that the notebook of bits has one to read."""
    folder = tmp_path_factory.mktemp("run")
    for seed, name in enumerate(("encoder", "untrained")):
        encoder = Encoder(EncoderConfig(bits=24, image_size=32, width=4, hidden=16), seed=seed)
        encoder.save(folder / f"{name}.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODELAB_RUN", str(folder))
        yield folder


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_what_it_shows(path):
    notebook = nbformat.read(path, as_version=4)
    shown = printed(notebook)
    NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert printed(notebook) == shown


def test_the_notebook_of_bits_leaves_a_ledger(run):
    """It runs after the notebooks, which the file's order guarantees."""
    assert len(read_ledger(run / "codes.names.json")) == 24
