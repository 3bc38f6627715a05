"""Errors on a terminal: one line, control characters escaped, also where memory runs out."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from codelab import Codes, DataError
from codelab.cli.main import main
from codelab.core.command import run
from codelab.reporting.terminal import print_table

EVIL = "evil\x1b[31m\nname\u202e"
SHOWN = "evil\\x1b[31m\\nname\\u202e"


def failing(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    "error",
    [
        DataError(f"{EVIL}: bad", [EVIL]),
        OSError(5, "bad", EVIL),
        MemoryError(f"{EVIL}: too much"),
        ImportError(f"{EVIL}: failed to map segment from shared object"),
    ],
)
def test_control_characters_of_errors_are_escaped(capsys, error):
    assert run(failing(error), name="codelab") == 1
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("codelab: ")
    assert len(said.splitlines()) == 1 + len(getattr(error, "details", ()))
    assert SHOWN in said or "out of memory" in said
    assert not {"\x1b", "\u202e"} & set(said)


def test_control_characters_of_warnings_and_calls_are_escaped(capsys):
    assert run(lambda: warnings.warn(f"\x1b[2J{EVIL}", stacklevel=1), name="codelab") == 0
    with pytest.raises(SystemExit):
        main(["analyze", "x", f"--{EVIL}"])
    assert main(["analyze", f"{EVIL}.parquet"]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert len(said.splitlines()) == 3


def test_control_characters_of_tables_are_escaped(capsys):
    print_table(["name", EVIL], [[EVIL, "[red]x[/red]"]], title=EVIL)
    said = capsys.readouterr().out
    assert "\x1b[31m" not in said
    assert said.count(SHOWN) == 3
    assert "[red]x[/red]" in said


def test_classes_and_ids_are_shown_escaped(tmp_path, capsys):
    codes = Codes.from_bits(np.eye(8), labels=[EVIL, "b"] * 4, items={"id": [f"{i}{EVIL}" for i in range(8)]})
    codes.save(tmp_path / "c.parquet")
    for call in (["search", "--id", f"0{EVIL}"], ["analyze", "--permutations", "1", "--group", "none"]):
        assert main([call[0], str(tmp_path / "c.parquet"), *call[1:]]) == 0
        said = capsys.readouterr()
        assert "\x1b[31m" not in said.out + said.err


def codelab(*call, **options):
    return subprocess.run([sys.executable, "-m", "codelab", *call], capture_output=True, check=False, **options)


def test_names_that_are_not_utf8(tmp_path):
    folder = os.fsencode(tmp_path)
    Codes.from_bits(np.eye(8)).save(tmp_path / "c.parquet")
    name = os.path.join(folder, b"na\xffme.parquet")  # noqa: PTH118 (bytes)
    os.rename(os.path.join(folder, b"c.parquet"), name)  # noqa: PTH104, PTH118
    for call in (["verify", name], ["analyze", name, "--json"]):
        done = codelab(*call)
        assert b"Traceback" not in done.stderr
        assert done.returncode in (0, 1)
        assert len(done.stderr.splitlines()) <= 2


def test_too_little_memory_is_one_line(tmp_path):
    np.save(tmp_path / "c.npy", np.zeros((1_000_000, 400), np.uint8))
    script = (
        "import resource, sys; import codelab.core.files; from codelab.cli.main import main; "
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); "
        "resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2); "
        f"sys.exit(main(['search', {str(tmp_path / 'c.npy')!r}, '--id', '1']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "memory" in done.stderr
