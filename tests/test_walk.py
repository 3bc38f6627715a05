"""README.md as a user follows it: its own commands, in a clean copy of the project, on a folder of images."""

import ast
import os
import re
import shlex
import subprocess
import sys
import urllib.request
import venv
from importlib.metadata import metadata
from pathlib import Path

import pyarrow as pa
import pytest
from bitarray import bitarray

import codelab
from codelab.cli.main import command_line
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.images.export import export
from codelab.images.sources import open_images
from tests.conftest import ROOT
from tests.support.own_images import BROKEN, CLASSES, own_images
from tests.support.served import serving
from training.config import flags_given, load_config

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(section, language):
    """The first fenced block of a language in a section of README.md."""
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return text.split(f"```{language}\n")[1].split("```")[0]


def commands(section):
    """The commands of a section without their comments."""
    return [line.split(" #")[0].rstrip() for line in block(section, "bash").splitlines()]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What is under version control here, or would be, in a folder of its own outside the repository."""
    folder = tmp_path_factory.mktemp("walk") / "codelab"
    list_files = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(list_files, cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    return folder


def shell(clone, command, code=0):
    """Run a command of README.md in the environment the walk made; its stdout and stderr."""
    free = ("PYTHONPATH", "RANK")
    environment = {k: v for k, v in os.environ.items() if k not in free} | {"PIP_NO_BUILD_ISOLATION": "1"}
    script = f"[ -e .venv ] && source .venv/bin/activate; {command}"
    done = subprocess.run(["bash", "-c", script], cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def walk(clone):
    """The commands of "Your own images" by their second word, installed and with the images in place.

    The environment is new, and finds the packages of the present one, so that pip has nothing to fetch.
    """
    lines = commands("Your own images")
    assert lines[0] == "source .venv/bin/activate"
    walk = {shlex.split(line)[1]: line for line in lines[1:]}
    assert list(walk) == ["install", "train", "export", "analyze", "search", "report", "explore"]
    venv.create(clone / ".venv", with_pip=True)
    (site,) = clone.glob(".venv/lib/python*/site-packages")
    (site / "packages.pth").write_text("\n".join(p for p in sys.path if Path(p).name == "site-packages"))
    shell(clone, walk["install"])
    own_images(clone / "photos")
    return walk


@pytest.fixture(scope="module")
def trained(clone, walk):
    """The folder of a run on these images without the broken one; of one epoch, all that is changed here."""
    out, _ = shell(clone, f"{walk['train']} --epochs 1 --warmup-epochs 1 --skip-bad")
    return out


@pytest.fixture(scope="module")
def exported(clone, walk, trained):
    """What the export prints, on stdout and stderr, without the broken image."""
    return shell(clone, f"{walk['export']} --skip-bad")


def test_the_command_is_that_of_the_walk(clone, walk):
    assert shell(clone, "command -v codelab")[0].strip() == str(clone / ".venv/bin/codelab")


def test_a_broken_image_is_named_and_how_to_leave_it_out(clone, walk):
    _, told = shell(clone, walk["train"], code=1)
    assert BROKEN in told.splitlines()[-1]
    assert re.search("skip[-_]bad", told.splitlines()[-1])


def test_training(clone, trained):
    assert trained == "runs/photos\n"
    assert (clone / "runs/photos/encoder.safetensors").is_file()


def test_exporting(clone, exported):
    out, told = exported
    assert out == f"codes.parquet: {30 * len(CLASSES)} codes of 64 bits, 1 skipped\n"
    assert BROKEN in told
    codes = codelab.load(clone / "codes.parquet")
    assert len(codes) == 30 * len(CLASSES)
    assert codes.classes == ("animals", "food", "objects")
    assert codes.logits is not None
    assert codes.features is not None
    assert "thumbnail" in codes.items.column_names


def test_analyzing(clone, walk, exported):
    out, _ = shell(clone, walk["analyze"])
    assert "Bit balance" in out
    assert "the 10 bits with the most information about the class" in out


def test_searching(clone, walk, exported):
    out, _ = shell(clone, walk["search"])
    assert "differing bits" in out
    assert "animals/" in out


def test_reporting(clone, walk, exported):
    out, _ = shell(clone, walk["report"])
    assert out == "report.html\n"
    assert codelab.load(clone / "codes.parquet").sha256 in (clone / "report.html").read_text()


def test_exploring(clone, walk, exported):
    path = f"{clone / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    with (
        serving(["bash", "-c", f'exec {walk["explore"]} "$@"', "explore"], cwd=clone, path=path) as url,
        urllib.request.urlopen(url) as answer,
    ):
        assert answer.status == 200


def test_git_does_not_see_what_the_walk_made(clone, exported):
    command = ["git", "ls-files", "--others", "--exclude-standard"]
    assert subprocess.run(command, cwd=clone, capture_output=True, text=True, check=True).stdout == ""


def test_the_extras_that_are_named_exist():
    extras = metadata("codelab").get_all("Provides-Extra")
    named = re.findall(r"(?:codelab|-e '\.)\[([\w,]+)\]", README)
    assert named
    assert {extra for group in named for extra in group.split(",")} <= set(extras)


def test_what_is_ignored_lies_in_the_top_folder(clone):
    """Files of the same names elsewhere, such as the data of a test, are seen by git."""
    names = ["runs", "photos", "codes.parquet", "report.html"]
    (clone / "runs").mkdir(exist_ok=True)
    (clone / "photos").mkdir(exist_ok=True)
    paths = [*names, *(f"{folder}/{name}" for folder in ("tests", "codelab") for name in names)]
    done = subprocess.run(["git", "check-ignore", *paths], cwd=clone, capture_output=True, text=True)
    assert done.stdout.split() == names


@pytest.mark.parametrize("line", [line for line in commands("Training") if line.startswith("codelab")])
def test_the_commands_of_training_are_understood(line):
    words = shlex.split(line)[1:]
    options = command_line().parse_args(words)
    if words[0] == "train":
        assert load_config(ROOT / options.config, flags_given(options)).bits > 0


def test_the_notebook(tmp_path, monkeypatch):
    """The block of "In a notebook" on a small file made as the demo's is; what its comments say of it holds."""
    images = open_images("demo", split="test")
    images = images.subset(list(range(0, len(images), 8)))
    encoder = Encoder(EncoderConfig(bits=64, image_size=32, width=4, hidden=16), seed=0)
    export(encoder, images, tmp_path / "runs/demo/codes.parquet", logits=True, features=True, thumbnails=True)
    monkeypatch.chdir(tmp_path)
    source = block("In a notebook", "python")
    names, shown = {}, []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Expr):
            shown.append(eval(compile(ast.Expression(node.value), "README.md", "eval"), names))
        else:
            exec(compile(ast.Module([node], []), "README.md", "exec"), names)
    (said,) = re.findall(r"^codes +# (.*)$", source, re.MULTILINE)
    assert repr(shown[0]) == re.sub(r"N=\d+", f"N={len(images)}", said)
    usage, dof, classes, tones, printed, code, chosen = shown[1:]
    assert len(usage) == len(classes) == 64
    assert 1 <= dof.value <= 64
    assert tones.classes == len(set(images.items["tone"].to_pylist()) - {None})
    assert printed is None
    assert isinstance(code, bitarray)
    assert len(code) == 64
    bits = names["codes"].to_bits()
    assert len(chosen) == ((bits[:, 3] & ~bits[:, 17].astype(bool)) | bits[:, 40]).astype(bool).sum()
    assert isinstance(chosen.items, pa.Table)
