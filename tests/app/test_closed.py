"""The explorer gives nothing away: it serves this machine alone, opens one folder alone, and shows no traceback."""

import io
import os
import re
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
from tests.app.test_pages import MAIN, checked, gallery, opened, said
from tests.conftest import ROOT
from tests.support.pictured import exported, png, shapes


@pytest.fixture
def rooted(tmp_path, monkeypatch):
    """`open/` with codes that the explorer may open, and codes, arrays and folders beside it that it may not."""
    inner = tmp_path / "open"
    inner.mkdir()
    shapes(30).save(inner / "codes.parquet")
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
        assert "**30 images" in said(opened(name))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "{out}/private.parquet",
            "../private.parquet",
            "{out}/private.npy",
            "{out}/folder",
            "{out}",
            "/",
            "/etc/passwd",
        ),
        *("{out}/none.parquet", "none.parquet", "~/private.parquet", "~root", "link.parquet", "parts", "run"),
        *("//host/share/c.parquet", "\\\\host\\share\\c.npy", "http://localhost/c.parquet", "s3://x/c.parquet"),
        *(
            "file://{out}/private.parquet",
            "a\0b",
            "x" * 9000,
            "<script>alert(1)</script>",
            "![x](http://host/x)",
            "a\nb",
        ),
    ],
)
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
