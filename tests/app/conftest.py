"""The explorer in tests opens what tests write, and nothing else."""

import sys

import pytest

from tests.conftest import ROOT
from tests.support.browser import chromium
from tests.support.pictured import planted, shapes
from tests.support.served import serving


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


@pytest.fixture(scope="session")
def planted_folder(tmp_path_factory):
    """`codes.parquet`, `other.parquet` of the same images, and an encoder."""
    folder = tmp_path_factory.mktemp("planted")
    planted(folder)
    return folder


@pytest.fixture(scope="session")
def explorer(planted_folder):
    """The address of an explorer of these two files, started as a user types it."""
    files = [planted_folder / "codes.parquet", planted_folder / "other.parquet"]
    with serving([sys.executable, "-m", "codelab", "explore", *files], cwd=ROOT) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def codes():
    return shapes()


@pytest.fixture(scope="module")
def path(codes, tmp_path_factory):
    path = tmp_path_factory.mktemp("app") / "codes.parquet"
    codes.save(path)
    return path
