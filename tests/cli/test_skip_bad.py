"""`--skip-bad` from the command line to the last file, on a folder with pictures that are damaged in four ways."""

import io
import struct
import zlib

import pytest
from PIL import Image

from codelab import load
from codelab.cli.main import main
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.images.imageset import decode
from tests.conftest import draw
from tests.support.kinds import encoded, png, tiff

SMALL = """
{backbone: conv, width: 4, hidden: 16, bits: 8, image_size: 16, local_size: 8, local_views: 2, batch: 8, epochs: 1,
warmup_epochs: 0, evaluate_every: 0, device: cpu}
"""


def damaged_avif():
    data = bytearray(encoded(draw("disc", 1, 64), "AVIF"))
    data[-40:] = b"\xff" * 40
    return bytes(data)


def odd_tiff():
    """StripOffsets as a fraction, on which Pillow's reader of TIFF trips."""
    data = bytearray(tiff(100, "u1", 8, 1))
    place = next(at for at in range(10, len(data), 12) if data[at : at + 2] == struct.pack("<H", 273))
    data[place : place + 12] = struct.pack("<HHLL", 273, 5, 1, len(data))
    return bytes(data) + struct.pack("<LL", 7, 2)


BAD = {
    "avif.jpg": damaged_avif,
    "bomb.png": lambda: png(1, 0, b"", (60_000, 60_000), pixels=zlib.compress(bytes(100))),
    "odd.tif": odd_tiff,
    "torn.jpg": lambda: encoded(draw("bar", 1, 64), "JPEG")[:-300],
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    Image.init()
    if "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(10):
        draw("disc" if number % 2 else "bar", number).save(folder / f"{number}.png")
    for name, make in BAD.items():
        (folder / name).write_bytes(make())
    return folder


def called(capsys, *arguments):
    """Exit code, stdout and the lines of stderr."""
    code = main([str(a) for a in arguments])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, [line for line in said.err.splitlines() if line.strip()]


def test_the_decoders_raise_what_they_are_here_to_raise():
    with pytest.raises(RuntimeError), Image.open(io.BytesIO(damaged_avif())) as file:
        file.load()
    with pytest.raises(TypeError, match="IFDRational"), Image.open(io.BytesIO(odd_tiff())) as file:
        file.load()
    for name, make in BAD.items():
        with pytest.raises(ValueError, match=f"^{name}: "):
            decode(make(), name)


def test_export(pictures, tmp_path, capsys):
    checkpoint, out = tmp_path / "encoder.safetensors", tmp_path / "codes.parquet"
    Encoder(EncoderConfig(bits=8, image_size=16, width=4, hidden=16), seed=1).save(checkpoint)
    call = ("export", "--ckpt", checkpoint, "--data", pictures, "--out", out, "--device", "cpu")
    for _ in range(2):  # the finished part is kept, and says the same again
        code, words, lines = called(capsys, *call)
        assert (code, words) == (1, "")
        assert lines[-1].startswith(
            f"codelab: {pictures}: 4 of 14 images cannot be read; mend them, or add --skip-bad"
        )
        assert [line.strip().split(": ")[0] for line in lines[-5:-1]] == [str(pictures / name) for name in BAD]
        assert not out.exists()
    code, words, lines = called(capsys, *call, "--skip-bad")
    assert (code, words) == (0, f"{out}: 10 codes of 8 bits, 4 skipped\n")
    assert [line for line in lines if "skipped" in line and "bomb.png: 60000 x 60000 pixels" in line]
    assert load(out).items["id"].to_pylist() == [f"{number}.png" for number in range(10)]
    assert len(load(out).meta["skipped"]) == 4


@pytest.mark.parametrize("store", ["memory", "stream"])
def test_train(pictures, tmp_path, capsys, store):
    (tmp_path / "small.yaml").write_text(SMALL)
    call = ("train", tmp_path / "small.yaml", "--data", pictures, "--run", tmp_path / "run", "--store", store)
    for _ in range(2):
        code, words, lines = called(capsys, *call, "--resume")
        assert (code, words) == (1, "")
        assert lines[-1].startswith("codelab: ")
        assert lines[-1].endswith("; --skip-bad (skip_bad) leaves them out" if store == "memory" else " out")
    code, _, lines = called(capsys, *call, "--resume", "--skip-bad")
    assert code == 0, lines
    listed = (tmp_path / "run" / "unreadable.txt").read_text().splitlines()
    assert {line.split(": ")[0] for line in listed} == {str(pictures / name) for name in BAD}
    assert (tmp_path / "run" / "encoder.safetensors").is_file()


def test_a_limit_of_ones_own(pictures, tmp_path, capsys):
    checkpoint = tmp_path / "encoder.safetensors"
    Encoder(EncoderConfig(bits=8, image_size=16, width=4, hidden=16), seed=1).save(checkpoint)
    call = (
        "export",
        "--ckpt",
        checkpoint,
        "--data",
        pictures,
        "--out",
        tmp_path / "c.parquet",
        "--most-pixels",
        "500",
    )
    code, _, lines = called(capsys, *call)
    assert code == 1
    assert (
        "0.png: 24 x 24 pixels, expected at most 500 in all; most_pixels (--most-pixels) raises the limit" in lines[0]
    )
