"""The explorer in tests opens what tests write, and nothing else."""

import sys

import pytest


@pytest.fixture(autouse=True)
def root(tmp_path_factory, monkeypatch):
    """The folder of all temporary files, as `--root` on the explorer's command line."""
    folder = tmp_path_factory.getbasetemp()
    monkeypatch.setattr(sys, "argv", ["app/main.py", "--root", str(folder)])
    return folder


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """What the explorer keeps on disk does not outlive the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODELAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
