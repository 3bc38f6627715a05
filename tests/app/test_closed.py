"""The explorer gives nothing away: it serves this machine alone, opens one folder alone, and shows no traceback."""

import errno
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tomllib
from PIL import Image

from app.screens.retrieval import UPLOAD_MEGABYTES
from codelab.cli.main import main
from codelab.core.codes import Codes
from codelab.semantics.names import score_name, write_ledger
from tests.conftest import ROOT
from tests.support.explored import MAIN, PAGES, checked, gallery, opened, press, said
from tests.support.pictured import exported, png, shapes


@pytest.fixture
def rooted(tmp_path, monkeypatch):
    """`open/` with codes that the explorer may open, and codes, arrays and folders beside it that it may not."""
    inner = tmp_path / "open"
    inner.mkdir()
    shapes(40).save(inner / "codes.parquet")
    shapes(31).save(tmp_path / "private.parquet")
    np.save(tmp_path / "private.npy", np.eye(8))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "secret-name.txt").write_text("x")
    (inner / "link.parquet").symlink_to(tmp_path / "private.parquet")
    (inner / "parts").mkdir()
    (inner / "parts" / "a.parquet").symlink_to(tmp_path / "private.parquet")
    (inner / "run").mkdir()
    (inner / "run" / "metrics.jsonl").write_text("")
    (inner / "run" / "codes.parquet").symlink_to(tmp_path / "private.parquet")
    monkeypatch.setattr(sys, "argv", [MAIN, "--root", str(inner)])
    monkeypatch.setenv("HOME", str(tmp_path))
    return inner


def test_codes_of_the_root_are_opened(rooted):
    for name in ("codes.parquet", "./codes.parquet", rooted / "codes.parquet"):
        assert "**40 images" in said(opened(name))


OUTSIDE = (
    *("{out}/private.parquet", "../private.parquet", "{out}/private.npy", "{out}/folder", "{out}", "/", "/etc/passwd"),
    *("{out}/none.parquet", "none.parquet", "~/private.parquet", "~root", "link.parquet", "parts", "run"),
    *("//host/share/c.parquet", "\\\\host\\share\\c.npy", "http://localhost/c.parquet", "s3://x/c.parquet"),
    *("file://{out}/private.parquet", "a\0b", "x" * 9000, "<script>alert(1)</script>", "![x](http://host/x)", "a\nb"),
)


@pytest.mark.parametrize("name", OUTSIDE)
def test_everything_else_has_one_answer(rooted, name):
    name = name.format(out=rooted.parent)
    app = opened(name)
    assert len(app.error) == 1
    assert re.sub(r"\\([^\w\s])", r"\1", app.error[0].value).endswith(": no codes in the explorer's folder")
    assert len(app.error[0].value) < 700
    assert "secret-name" not in said(app)
    assert "image" not in [caption.value for caption in app.caption]


def test_pictures_outside_are_not_shown(rooted):
    (rooted.parent / "private.png").write_bytes(png("disc", 3))
    (rooted / "own.png").write_bytes(png("bar", 3))
    paths = [str(rooted / "own.png"), str(rooted.parent / "private.png")]
    items = pa.table({"id": list("abcd"), "path": paths * 2})
    Codes.from_bits(np.eye(4, 5), items=items).save(rooted / "c.parquet")
    app = opened("c.parquet", "retrieval", item="b")
    assert [bool(c["picture"]) for c in gallery(app, "choose")] == [True, False, True, False]
    assert not gallery(app, "query")[0]["picture"]
    opened("c.parquet", "bits")


WILD = "![x](http://127.0.0.1:9/beacon.png) <img src=x> :red[a] $a$ \n\n# b"


def test_words_of_a_file_are_text(rooted):
    codes = shapes(30)
    items = codes.items.append_column("split", pa.array([WILD] * 30)).append_column(WILD, codes.items["twin"])
    wild = Codes.from_logits(codes.logits, labels=codes.labels, classes=codes.classes, items=items)
    wild.meta["data"] = {"attribution": WILD}
    wild.save(rooted / "wild.parquet")
    app = opened("wild.parquet", "retrieval", group=WILD)
    shown = [element.value for kind in (app.markdown, app.caption, app.info) for element in kind]
    shown += [toggle.label for toggle in app.toggle]
    assert sum("beacon" in words for words in shown) == 3  # the attribution, the split, and what to leave out
    assert not [words for words in shown if re.search(r"(?<!\\)(!|<img|:red)", words)]


@pytest.mark.parametrize("data", ["a string", ["a", "list"], 3, {"attribution": {"a": 1}}, {"attribution": ["x"]}])
def test_odd_provenance_is_shown_without_a_traceback(rooted, data):
    codes = shapes(30)
    codes.meta.update(data=data, encoder=data)
    codes.save(rooted / "odd.parquet")
    app = opened("odd.parquet", "retrieval")
    checked(app.button_group(key="source").set_value("an image of yours").run())


ODD = (
    "x",
    "-1",
    "1e9",
    "9" * 5000,
    "٣",
    "²",
    "a\nb",
    "\0",
    "<b>x</b>",
    "![x](http://host/x)",
    "None",
    "[]",
    "🙂",
    "' OR 1",
)


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize(
    ("page", "names"), [("bit", ("bit", "labels", "group")), ("retrieval", ("item", "k", "leave_out"))]
)
def test_odd_values_in_the_address_have_a_page(rooted, page, names, value):
    app = opened("codes.parquet", page, **dict.fromkeys(names, value))
    assert app.title or app.number_input(key="bit")


def test_what_compare_opens_has_one_answer_too(rooted):
    app = opened("codes.parquet", "compare")
    for name in (*OUTSIDE, *ODD):
        named = name.format(out=rooted.parent)
        app.query_params["with"] = named
        checked(app.run())
        assert len(app.error) == 1, name
        assert re.sub(r"\\([^\w\s])", r"\1", app.error[0].value).endswith(": no codes in the explorer's folder"), name
        assert len(app.error[0].value) < 700
        assert "secret-name" not in said(app)


ADDRESSES = {
    "overview": ("codes", "labels", "group"),
    "bits": ("filter", "more", "dead"),
    "bit": ("bit", "part"),
    "classes": ("class", "other"),
    "retrieval": ("item", "typed", "weights", "curve", "k", "rescore"),
    "image": ("item",),
    "map": ("method", "seed", "colour", "bit", "sel"),
    "query": ("sel",),
    "run": ("sel", "bit", "item"),
}
SELECTIONS = (
    *("where " + "(" * 3000, "where " + "~" * 3000 + "1", "where 3 & " * 900, "where 999999999999", "where -1"),
    *("where __import__('os')", "where 3; 4", 'where "', "where \0", "lasso umap 0 +(1,2 3)", "lasso umap 0 +(1 2 3)"),
    *("lasso umap 0 +(1,2,3 1 2)", "lasso umap 0 +(1e999,0 0,1 1,1)", "lasso umap 999999999 +()", "lasso"),
    "lasso umap 0 " + "+(0,0 1,0 1,1) " * 2000,
)


@pytest.mark.parametrize("page", ADDRESSES)
def test_every_value_of_an_address_has_a_page(rooted, page):
    app = opened("codes.parquet", page)
    for name in ADDRESSES[page]:
        for value in (*ODD, *(SELECTIONS if name == "sel" else ())):
            app.query_params.clear()
            app.query_params["codes"] = "codes.parquet"
            app.query_params[name] = value
            checked(app.run())
            assert len(app.error) <= 1, (name, value)
            assert all("\n" not in error.value and len(error.value) < 700 for error in app.error), (name, value)


@pytest.mark.parametrize("page", PAGES)
def test_words_of_a_file_are_text_on_every_page(rooted, page):
    """Class names, ids, attributes and their values: nothing that markdown, HTML or Plotly would act on."""
    codes = shapes(60)
    items = codes.items.set_column(0, "id", pa.array([f"{WILD} {i}" for i in range(60)]))
    items = items.append_column(WILD, pa.array([f"{WILD} {i % 2}" for i in range(60)]))
    names = (f"a {WILD}", f"b {WILD}")
    wild = Codes.from_logits(codes.logits, labels=codes.labels, classes=names, items=items)
    wild.save(rooted / "wild.parquet")
    wild.save(rooted / f"![x](http) <img> {'x' * 20}.parquet")
    write_ledger(rooted / "wild.names.json", [score_name(wild, 3, f"class = {names[1]}", author=WILD)])
    (rooted / "metrics.jsonl").write_text(json.dumps({"step": 1, "loss": 1.0, "warning": WILD}) + "\n")
    address = {
        "sel": "where 3",
        "with": next(str(p) for p in rooted.glob("![[]x*")),
        "colour": WILD,
        "item": f"{WILD} 3",
    }
    parts = ("images", "classes", "meaning", "related", "pairs", "retrieval", "name") if page == "bit" else ("",)
    app = opened("wild.parquet", page, **address, bit="3", group=WILD)
    for part in parts:
        app.query_params["part"] = part
        checked(app.run())
        for element in (found for found in app._tree if getattr(found, "proto", None) is not None):
            words = [getattr(element.proto, name, "") for name in ("body", "label", "help", "title")]
            if element.type in ("markdown", "caption") or words[1:] != [""] * 3:
                assert not any(re.search(r"(?<!\\)(!\[|<img|:red\[)", word) for word in words if isinstance(word, str))
            if element.type == "plotly_chart":
                assert "<img" not in element.proto.spec


def test_names_are_not_written_outside(rooted):
    """Through a link beside the codes, or beside the folder itself where that is what was opened."""
    (rooted / "codes.names.json").symlink_to(rooted.parent / "outside.json")
    app = opened("codes.parquet", "bit", bit="3", part="name")
    _guess(app)
    assert "codes.names.json: not in the explorer's folder" in said(app)
    assert not (rooted.parent / "outside.json").exists()
    (rooted.parent / "outside.json").write_text('{"names": "secret-name"}')
    app = opened("codes.parquet", "bit", bit="3", part="name")
    assert "not in the explorer's folder" in said(app).lower()
    for name in ("run", "parts", "link.parquet"):
        shutil.rmtree(rooted / name) if (rooted / name).is_dir() else (rooted / name).unlink()
    app = opened(".", "bit", bit="3", part="name")
    _guess(app)
    assert "Kept in" in said(app)
    assert not list(rooted.parent.glob("*.names.json"))


def test_a_folder_that_cannot_be_written_is_one_line(rooted, monkeypatch):
    app = opened("codes.parquet", "bit", bit="3", part="name")

    def refused(**_):
        raise PermissionError(errno.EACCES, "Permission denied", str(rooted))

    monkeypatch.setattr("codelab.core.io.tempfile.mkstemp", refused)
    _guess(app)
    assert len(app.error) == 1
    assert "Permission denied" in said(app)
    assert "\n" not in app.error[0].value


def _guess(app):
    app.selectbox(key="question3").set_value("class = disc")
    app.text_input(key="author").set_value("Ada")
    press(app, "Score and keep it")


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.json", "evaluation.jsonl"])
def test_a_run_reads_no_file_outside(rooted, name):
    (rooted / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    assert "No training run" not in said(opened("codes.parquet", "run"))
    outside = rooted.parent / name
    outside.write_text('{"step": 1, "warning": "secret-name"}\n')
    (rooted / name).unlink(missing_ok=True)
    (rooted / name).symlink_to(outside)
    words = said(opened("codes.parquet", "run"))
    assert "No training run" in words
    assert "secret-name" not in words


def test_a_run_that_is_being_written_has_a_page(rooted):
    (rooted / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "lo')
    assert not opened("codes.parquet", "run").error
    (rooted / "config.json").mkdir()
    assert len(opened("codes.parquet", "run").error) == 1


class TestUploads:
    @pytest.fixture(scope="class")
    def made(self, tmp_path_factory):
        return exported(tmp_path_factory.mktemp("closed"))

    def upload(self, path, data):
        app = opened(path, "retrieval")
        checked(app.button_group(key="source").set_value("an image of yours").run())
        return checked(app.file_uploader(key="upload").upload("big.png", data, "image/png").run())

    def test_too_many_pixels_are_refused_before_they_are_decoded(self, made, monkeypatch):
        out = io.BytesIO()
        Image.new("1", (6000, 5000)).save(out, "PNG")
        load = "PIL.ImageFile.ImageFile.load"
        whole = Image.Image.load
        monkeypatch.setattr(load, lambda self: pytest.fail("decoded") if self.width == 6000 else whole(self))
        app = self.upload(made, out.getvalue())
        assert "6000 x 5000 pixels, expected at most 25,000,000 in all" in said(app)

    def test_too_many_bytes_are_refused(self, made):
        app = self.upload(made, png("disc", 1) + bytes(UPLOAD_MEGABYTES * 2**20))
        assert f"larger than {UPLOAD_MEGABYTES} MB" in said(app)


def test_the_configuration_says_so_too():
    options = tomllib.loads((ROOT / "app/.streamlit/config.toml").read_text())
    assert options["server"] == {"address": "127.0.0.1", "maxUploadSize": UPLOAD_MEGABYTES}
    assert options["client"]["showErrorDetails"] == "none"


def test_explore_names_address_root_and_codes(rooted, monkeypatch, capsys):
    called = []
    monkeypatch.setattr("os.execv", lambda program, command: called.append(command))
    codes = str(rooted / "codes.parquet")
    assert main(["explore", codes]) == 0
    assert " ".join(called[0]).endswith(f"-- --root {rooted} --codes {codes}")
    assert "--server.address 127.0.0.1" in " ".join(called[0])
    assert main(["explore", codes, "--root", str(rooted.parent), "--pictures", str(rooted)]) == 0
    assert " ".join(called[1]).endswith(f"--pictures {rooted} --root {rooted.parent} --codes {codes}")
    assert main(["explore", codes, "--root", str(rooted / "parts")]) == 2
    assert "not in the folder" in capsys.readouterr().err


NAMES_ADDRESSES = """
import sys

def name(event, given):
    if event == "socket.getaddrinfo":
        print("NET", given[0], file=sys.stderr)
    if event == "socket.connect":
        print("NET", given[1], file=sys.stderr)

sys.addaudithook(name)
"""
"""The interpreter runs `sitecustomize` first: this one writes down each name looked up and each address called."""


@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="reads Linux's table of sockets")
@pytest.mark.parametrize("start", ["explore", "run"])
def test_it_listens_on_this_machine_alone_and_looks_up_no_address(rooted, start):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (rooted / "sitecustomize.py").write_text(NAMES_ADDRESSES)
    codes = str(rooted / "codes.parquet")
    command = {
        "explore": [sys.executable, "-m", "codelab", "explore", codes, "--port", str(port)],
        "run": [sys.executable, "-m", "streamlit", "run", MAIN, "--server.port", str(port), "--", "--codes", codes],
    }[start]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STREAMLIT")}
    environment |= {"PYTHONPATH": f"{rooted}:{ROOT}", "STREAMLIT_SERVER_HEADLESS": "true"}
    with (rooted / "log").open("w+") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=rooted)
        try:
            for _ in range(400):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
                    break
                except OSError:
                    assert server.poll() is None, (rooted / "log").read_text()
                    time.sleep(0.2)
            bound = [
                line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()
            ]
            bound = [row[1] for row in bound if row[1].endswith(f":{port:04X}") and row[3] == "0A"]
            time.sleep(1)
        finally:
            server.terminate()
            server.wait(20)
        log.seek(0)
        said = log.read()
    assert bound == [f"0100007F:{port:04X}"]
    asked = [line for line in said.splitlines() if line.startswith("NET")]
    assert not [line for line in asked if "127.0.0.1" not in line and "localhost" not in line], asked
    assert "External" not in said
    assert "Network URL" not in said
