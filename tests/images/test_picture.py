"""What is opened as a picture, and that nothing else opens one."""

import ast
import io

import numpy as np
import pytest
from PIL import Image

from codelab import DataError
from codelab.images.cards import picture_uri
from codelab.images.imageset import decode
from codelab.images.picture import FORMATS, open_picture
from codelab.images.sources import open_images
from tests.conftest import ROOT, draw

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"


def encoded(kind, image=None):
    out = io.BytesIO()
    (image or draw("disc", 0)).save(out, kind)
    return out.getvalue()


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
    assert all(line.startswith("torn: not a readable image (") and "\n" not in line for line in refused)


def test_one_function_opens_pictures():
    """`Image.open` without a list of formats runs a program that a stranger sent; so it stands in one place."""
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
    assert found == ["codelab/images/picture.py"]
