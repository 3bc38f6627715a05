"""What is opened as a picture, and that nothing else opens one."""

import ast
import io
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
import pytest
from PIL import Image

from codelab import DataError
from codelab.core.codes import Codes
from codelab.images.cards import card, picture_uri
from codelab.images.imageset import decode
from codelab.images.picture import FORMATS, IN_FLIGHT, in_flight, open_picture
from codelab.images.sources import open_images
from tests.conftest import ROOT, draw
from tests.support import kinds
from tests.support.kinds import chunk, png, tiff

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"


def encoded(kind, image=None, **options):
    return kinds.encoded(image or draw("disc", 0), kind, **options)


def test_postscript_is_never_given_to_a_decoder(tmp_path, monkeypatch):
    with Image.open(io.BytesIO(POSTSCRIPT)) as file:
        assert file.format == "EPS"  # what Pillow makes of it when nobody restricts it
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *a, **k: pytest.fail("Ghostscript was called"))
    (tmp_path / "photo.png").write_bytes(POSTSCRIPT)
    for read in (lambda: open_images(tmp_path).image(0), lambda: picture_uri(POSTSCRIPT, "photo.png")):
        with pytest.raises(DataError) as error:
            read()
        assert str(error.value).endswith(f"photo.png: not a readable image (none of {', '.join(FORMATS)})")


@pytest.mark.parametrize("kind", ["TGA", "ICO", "JPEG2000", "SGI", "PCX"])
def test_formats_off_the_list_are_refused(kind):
    with pytest.raises(DataError, match="none of JPEG"):
        open_picture(encoded(kind))


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_on_the_list_are_read(kind):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow has no {kind}")
    assert decode(encoded(kind), "a picture").size == draw("disc", 0).size


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    data = encoded("PNG", Image.new("RGB", (300, 200)))
    assert decode(data, "wall.png", most_pixels=60_000).size == (300, 200)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("its pixels were decoded"))
    with pytest.raises(DataError, match=r"^wall\.png: .*300 x 200 pixels, expected at most 59,999 in all"):
        decode(data, "wall.png", most_pixels=59_999)


@pytest.mark.parametrize("raised", [RuntimeError("Failed to decode image"), TypeError("IFDRational"), EOFError()])
def test_whatever_the_decoder_raises_is_a_bad_image(raised, monkeypatch):
    def load(self):
        raise raised

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(DataError, match=r"^cat\.jpg: not a readable image \("):
        decode(encoded("PNG"), "cat.jpg")


@pytest.mark.filterwarnings("ignore::UserWarning")  # what Pillow says of damaged TIFF tags
@pytest.mark.parametrize("kind", ["AVIF", "WEBP", "TIFF", "JPEG"])
def test_damaged_bytes_are_a_bad_image(kind):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow has no {kind}")
    whole = np.frombuffer(encoded(kind), np.uint8)
    rng = np.random.default_rng(0)
    refused = []
    for _ in range(200):
        data = whole.copy()
        where = rng.integers(0, len(data), 8)
        data[where] = rng.integers(0, 256, 8)
        try:
            decode(data[: rng.integers(1, len(data) + 1)].tobytes(), "torn")
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all(line.startswith("torn: ") and "\n" not in line for line in refused)


def test_one_function_opens_pictures():
    """`Image.open` without a list of formats runs a program that a stranger sent; so one file alone opens any."""
    found = []
    for top in ("codelab", "training", "app", "benchmarks", "examples"):
        for path in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Attribute)
                    and node.attr == "open"
                    and ast.unparse(node.value).endswith("Image")
                ):
                    found.append(path.relative_to(ROOT).as_posix())
                if isinstance(node, ast.ImportFrom) and node.module == "PIL.Image":
                    found += [path.relative_to(ROOT).as_posix() for alias in node.names if alias.name == "open"]
            if path.name != "picture.py" and "Image.OPEN" in path.read_text():
                found.append(path.relative_to(ROOT).as_posix())
    assert found == []


class TestLimits:
    def promised(self, side):
        """A PNG of 1 bit whose head promises a square, with a few bytes of pixels."""
        return png(1, 0, b"", (side, side), pixels=zlib.compress(bytes(100)))

    def test_the_limit_holds_unasked_and_the_line_says_how_to_raise_it(self, tmp_path, recwarn):
        for side in (11_000, 15_000, 60_000):  # Pillow's own limit warns above 9,459 and refuses above 13,377
            (tmp_path / "wall.png").write_bytes(self.promised(side))
            with pytest.raises(DataError) as error:
                open_images(tmp_path).image(0)
            size = f"{side} x {side} pixels, expected at most 100,000,000 in all"
            assert str(error.value).endswith(f"wall.png: {size}; most_pixels (--most-pixels) raises the limit")
        assert not recwarn.list

    def test_a_caller_may_raise_it(self, monkeypatch, recwarn):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
        with open_picture(self.promised(15_000), most_pixels=225_000_000) as picture:
            assert picture.size == (15_000, 15_000)
        assert not recwarn.list

    def test_threads_decode_a_bounded_number_at_once(self, tmp_path):
        """Each is a few kilobytes, 52 megapixels and a quarter of a gigabyte; four threads read them."""
        (tmp_path / "wall.png").write_bytes(png(1, 0, bytes(900), (7200, 7200)))
        done = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path)], capture_output=True, text=True, check=True)
        assert float(done.stdout) < 500  # megabytes; 1,000 without the bound

    def test_pictures_in_flight_wait_for_each_other(self):
        most, now = 0, 0
        lock = Lock()

        def work(pixels):
            nonlocal most, now
            with in_flight(pixels):
                with lock:
                    now += pixels
                    most = max(most, now)
                time.sleep(0.001)
                with lock:
                    now -= pixels

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, [IN_FLIGHT // 3, 2 * IN_FLIGHT, 1000] * 10))
        assert most == 2 * IN_FLIGHT  # one that is larger than the bound, alone

    def test_a_tile_counts_at_its_full_size(self):
        """A picture of one pixel in a tile of 400 million."""
        tags = {256: 1, 257: 1, 258: 8, 259: 8, 262: 1, 277: 1, 322: 20_000, 323: 20_000, 324: 134, 325: 9}
        head = b"II*\0" + struct.pack("<LH", 8, len(tags))
        data = head + b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags.items()) + bytes(50)
        with pytest.raises(DataError, match="20000 x 20000 pixels"):
            decode(data, "x")


PEAK = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from codelab.images.sources import open_images
from training.data import read_pixels

images = open_images(sys.argv[1]).subset([0] * 4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda i: read_pixels(images, 64, i), range(len(images))))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def of_many_scans(scans, side):
    data = encoded("JPEG", Image.new("L", (side, side), 77), progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * scans + data[-2:]


def of_many_frames(kind, frames):
    if kind == "GIF":
        one = encoded("GIF", Image.new("P", (8, 8)))
        frame = one.index(b",\0\0\0\0")
        return one[:frame] + one[frame:-1] * frames + b";"
    if kind == "TIFF":
        one = tiff(9, "u1", 8, 1)
        entries = struct.unpack_from("<H", one, 8)[0]
        head = one[8 : 10 + 12 * entries]
        places = [len(one) + i * (len(head) + 4) for i in range(frames)]
        follow = zip(places, [*places[1:], 0], strict=True)
        first = one[: 8 + len(head)] + struct.pack("<L", places[0]) + one[12 + len(head) :]
        return first + b"".join(head + struct.pack("<L", place) for _, place in follow)
    return png(8, 0, bytes(4), extra=chunk(b"tEXt", b"a\0b") * frames)


class TestBombs:
    def test_a_jpeg_of_very_many_scans_is_refused(self):
        """Half a megabyte in 1,000 scans of 64 megapixels is decoded in minutes."""
        with pytest.raises(DataError, match="more than 64 scans"):
            decode(of_many_scans(1000, 2000), "x")

    def test_other_jpegs_are_not(self):
        assert decode(of_many_scans(20, 64), "x").size == (64, 64)
        assert decode(encoded("JPEG") + b"\xff\xda" * 1000, "x").size == (24, 24)  # a film after the picture

    @pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG"])
    def test_a_hundred_thousand_frames_cost_no_more_than_one(self, kind):
        data = of_many_frames(kind, 100_000 if kind != "PNG" else 10_000)
        start = time.process_time()
        assert decode(data, "x").size[0] in (4, 8)
        uri = picture_uri(data, "x")
        assert time.process_time() - start < 2
        assert len(uri) < 1000  # the first frame alone, not a film

    @pytest.mark.parametrize("name", [b"zTXt", b"iCCP", b"iTXt"])
    def test_compressed_words_are_bounded(self, name):
        """1 MB of text that would be 1 GB."""
        packed = zlib.compress(bytes(1 << 20), 9)
        head = b"a\0\1\0\0\0" if name == b"iTXt" else b"a\0\0"
        data = png(8, 0, bytes(4), extra=chunk(name, head + packed) * 1000)
        tracemalloc.start()
        try:
            with pytest.raises(DataError, match=r"not a readable image \(.*(Too much memory|colour profiles)"):
                decode(data, "x")
            assert tracemalloc.get_traced_memory()[1] < 200e6
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize(
        "thumbnail",
        [
            png(1, 0, bytes(500), (4000, 4000)),
            png(8, 0, bytes(4), extra=chunk(b"tEXt", b"a\0" + bytes(1000)) * 5000),
        ],
        ids=["pixels", "bytes"],
    )
    def test_a_thumbnail_is_bounded(self, thumbnail, monkeypatch):
        codes = Codes.from_bits(np.eye(4, 3), items={"thumbnail": [thumbnail] * 4})
        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("its pixels were decoded"))
        shown = card(codes, 0)
        assert (shown.picture, shown.missing) == ("", "picture too large to show")

    def test_a_shown_jpeg_is_decoded_small(self, monkeypatch):
        """A photograph on a card is 160 pixels wide: its decoder need not make all of them."""
        sizes = []
        whole = Image.Image.thumbnail
        monkeypatch.setattr(Image.Image, "thumbnail", lambda self, *a: (sizes.append(self.size), whole(self, *a)))
        picture_uri(encoded("JPEG", Image.new("RGB", (4000, 3000))), "x")
        assert sizes == [(500, 375)]
