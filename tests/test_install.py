"""The package as a user installs it: a wheel in an environment of its own, and the editable form of a clone."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.browser import chromium
from tests.support.pictured import shapes
from tests.support.served import serving

WAIT = 120_000  # the page's first run, on a busy machine


def clean(environment):
    """Without what would put the clone before the installed package."""
    return {name: value for name, value in environment.items() if name not in ("PYTHONPATH", "RANK")}


def said(*command, cwd):
    """What a command prints on stdout; it must end well."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=clean(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = ("pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    said(sys.executable, "-m", *command, cwd=folder)
    (path,) = folder.glob("codelab-*.whl")
    return path


@pytest.fixture(scope="module")
def scripts(wheel, tmp_path_factory):
    """The `bin` folder of a new environment: the wheel, and of the present one all packages but the editable codelab.

    A `.pth` file adds a folder to the path without reading the `.pth` files in that folder, so that the clone is not
    found through it.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    bin_folder = folder / "bin"
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "packages.pth").write_text("\n".join(p for p in sys.path if Path(p).name == "site-packages"))
    command = ("pip", "--python", bin_folder / "python", "install", "--quiet", "--no-deps", "--ignore-installed")
    said(sys.executable, "-m", *command, wheel, cwd=folder)
    return bin_folder


@pytest.fixture
def beside(tmp_path):
    """A working directory that holds a folder named codelab, as the parent folder of a clone does."""
    (tmp_path / "codelab" / "tests").mkdir(parents=True)
    return tmp_path


WHERE = "import codelab; print(codelab.__file__)"


def test_a_folder_named_codelab_does_not_hide_the_wheel(scripts, beside):
    found = Path(said(scripts / "python", "-c", WHERE, cwd=beside).strip())
    assert found.is_relative_to(scripts.parent)


def test_a_folder_named_codelab_does_not_hide_the_editable_package(beside):
    found = Path(said(sys.executable, "-c", WHERE, cwd=beside).strip())
    assert found.name == "__init__.py"
    assert not found.is_relative_to(beside)


def test_the_wheel_takes_two_names_only(wheel):
    """`app`, `configs` and `tests` are names that other projects use too."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"codelab", "training"}
    ships = {
        p.relative_to(ROOT).as_posix() for folder in ("app", "configs") for p in (ROOT / folder).rglob("*.[pyt]*")
    }
    ships = {name for name in ships if "__pycache__" not in name}
    assert {"app/main.py", "app/.streamlit/config.toml", "configs/demo.yaml"} <= ships
    assert {f"codelab/_share/{name}" for name in ships} <= set(names)
    assert "codelab/reporting/templates/report.html" in names


def test_the_command_of_the_wheel(scripts, beside):
    assert "codelab demo --no-serve" in said(scripts / "codelab", "demo", "--help", cwd=beside)
    np.save(beside / "codes.npy", np.random.default_rng(0).random((60, 9)) > 0.5)
    results = json.loads(said(scripts / "codelab", "analyze", "codes.npy", "--json", cwd=beside))
    assert results["bit_usage"]["source"]["n"] == 60


def test_the_recipes_of_the_wheel(scripts, beside):
    script = (
        "from codelab.core.shipped import recipe, shipped;"
        "from training.config import load_config;"
        "assert recipe('demo') == recipe('configs/demo.yaml') == shipped('configs/demo.yaml');"
        "print(recipe('demo')); print(load_config('demo').backbone)"
    )
    path, backbone = said(scripts / "python", "-c", script, cwd=beside).splitlines()
    assert Path(path).is_relative_to(scripts.parent)
    assert backbone == "conv"


def test_a_part_of_the_tests_on_the_wheel(scripts, beside):
    shutil.copy(ROOT / "tests" / "core" / "test_files.py", beside)  # in the clone it would import the clone's package
    command = ("-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", "--rootdir", beside)
    assert "passed" in said(scripts / "python", *command, "test_files.py", cwd=beside)


def test_the_explorer_of_the_wheel(scripts, beside):
    shapes().save(beside / "codes.parquet")
    (beside / "app").mkdir()  # another project's
    (beside / "app" / "__init__.py").touch()
    with serving([scripts / "codelab", "explore", "codes.parquet"], cwd=beside) as url, chromium() as browser:
        with urllib.request.urlopen(f"{url}/_stcore/health") as answer:
            assert answer.status == 200
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector('[data-testid="stSidebar"]', timeout=WAIT)
        page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=WAIT)
        assert page.locator('[data-testid="stException"]').count() == 0
        assert "80 images" in page.inner_text("body")


@pytest.mark.parametrize(("target", "extra"), [("demo", "demo"), ("test", "dev")])
def test_make_says_what_it_installs_before_pip_does(target, extra, tmp_path):
    """Told by a dry run with an environment that is not there yet."""
    command = ("make", "-n", "-C", ROOT, target, f"VENV={tmp_path / 'none'}")
    lines = said(*command, cwd=tmp_path).splitlines()
    installs = [line for line in lines if " -m pip " in line]
    assert all("--disable-pip-version-check" in line for line in installs)
    last = installs[-1]
    assert last.endswith(f"install --editable '.[{extra}]'")
    assert "GB" in lines[lines.index(last) - 1]
    index = said(*command, "TORCH_INDEX=file:///packages", cwd=tmp_path).splitlines()
    before = index[index.index(last) - 1]
    assert before.endswith("install --index-url file:///packages torch torchvision")
