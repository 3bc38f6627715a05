"""No image of a folder goes missing or is read twice without a word, and nothing in it can hang a reader."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import codelab
from codelab import DataError, UsageError
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.images.export import export
from codelab.images.folder import OTHER_PICTURES, SUFFIXES, find_files
from codelab.images.picture import FORMATS
from codelab.images.sources import open_images
from tests.conftest import draw


@pytest.fixture
def encoder():
    return Encoder(EncoderConfig(bits=19, image_size=16, width=4, hidden=16), seed=3).eval()


def table_of_pictures(path, n=2):
    pq.write_table(pa.table({"image": [(path.parent / "bar" / "0.png").read_bytes()] * n}), path)


def test_the_endings_are_those_of_the_formats_that_are_read():
    Image.init()
    formats = Image.registered_extensions()
    assert set(SUFFIXES) == {ending for ending, name in formats.items() if name in FORMATS}
    assert not set(SUFFIXES) & set(OTHER_PICTURES)


@pytest.mark.parametrize("ending", [".jfif", ".jpe", ".JPG", ".pbm", ".pnm", ".avif"])
def test_formats_that_are_read_are_read_under_all_their_endings(ending, picture_folder):
    draw("disc", 9).save(picture_folder / f"more{ending}")
    images = open_images(picture_folder)
    assert len(images) == 13
    assert images.image(0).size == (24, 24)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.heic", ".heic is not read"),
        ("a.jp2", ".jp2 is not read"),
        ("a.ico", ".ico is not read"),
        ("a.TGA", ".tga is not read"),
        ("a.psd", ".psd is not read"),
        ("IMG_0001", "a picture whose name ends in nothing"),
        ("a.thumb", "a picture whose name ends in .thumb"),
    ],
)
def test_pictures_that_are_not_read_are_counted_by_reason(name, reason, picture_folder):
    (picture_folder / "bar" / name).write_bytes((picture_folder / "bar" / "0.png").read_bytes())
    shutil.copy(picture_folder / "bar" / name, picture_folder / "disc" / name)
    with pytest.raises(DataError, match=rf"2 files or folders left out: 2 \({reason}\): .*--skip-bad"):
        open_images(picture_folder)
    with pytest.warns(UserWarning, match="2 files or folders left out"):
        images = open_images(picture_folder, skip_bad=True)
    assert len(images) == 12
    assert images.left_out == tuple(f"{picture_folder / kind / name}: {reason}" for kind in ("bar", "disc"))


def test_what_is_plainly_no_image_counts_for_nothing(picture_folder):
    for name in ("labels.csv", "a.txt", "a.json", "README.md", "README", "e.safetensors", "clip.mp4", "x.unknown"):
        (picture_folder / name).write_text("no image")
    for name in (".DS_Store", ".hidden.png", "._0.png"):
        (picture_folder / "bar" / name).write_bytes((picture_folder / "bar" / "0.png").read_bytes())
    (picture_folder / ".thumbnails").mkdir()
    shutil.copy(picture_folder / "bar" / "0.png", picture_folder / ".thumbnails" / "0.png")
    assert len(open_images(picture_folder)) == 12


def test_a_folder_that_cannot_be_listed_is_an_error(picture_folder):
    """As another user, because nothing is closed to root."""
    top = Path(tempfile.mkdtemp())
    try:
        shutil.copytree(picture_folder, top / "set")
        top.chmod(0o755)
        (top / "set" / "disc").chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(DataError, match=r"1 file or folder left out: 1 \(Permission denied\): .*disc"):
                open_images(top / "set")
            with pytest.warns(UserWarning, match="Permission denied"):
                images = open_images(top / "set", skip_bad=True)
        finally:
            os.seteuid(user)
        assert len(images) == 6
        assert len(images.left_out) == 1
    finally:
        (top / "set" / "disc").chmod(0o755)
        shutil.rmtree(top)


def test_links_in_a_circle_double_nothing(picture_folder):
    for place in ("bar/up", "bar/here", "disc/up"):
        (picture_folder / place).symlink_to(picture_folder if place.endswith("up") else picture_folder / "bar")
    images = open_images(picture_folder)
    assert len(images) == 12
    assert images.left_out == ()


def test_a_folder_under_two_names_is_read_once_and_named(picture_folder):
    (picture_folder / "twin").symlink_to(picture_folder / "bar")
    with pytest.raises(DataError, match=r"the same folder as .*bar\): .*twin"):
        open_images(picture_folder)
    with pytest.warns(UserWarning, match="the same folder as"):
        images = open_images(picture_folder, skip_bad=True)
    assert len(images) == 12
    assert images.classes == ("bar", "disc")


def test_a_link_to_a_folder_elsewhere_is_followed(picture_folder, tmp_path):
    shutil.copytree(picture_folder / "bar", tmp_path / "elsewhere")
    (picture_folder / "linked").symlink_to(tmp_path / "elsewhere")
    assert open_images(picture_folder).classes == ("bar", "disc", "linked")
    shutil.rmtree(tmp_path / "elsewhere")  # a disk that is not mounted
    with pytest.raises(DataError, match=r"1 \(a link to nothing\): .*linked"):
        open_images(picture_folder)


@pytest.mark.timeout(60)
def test_only_regular_files_are_opened(encoder, picture_folder, tmp_path):
    os.mkfifo(picture_folder / "bar" / "fifo.png")
    os.mkfifo(picture_folder / "bar" / "fifo")
    (picture_folder / "bar" / "zero.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(picture_folder / "bar" / "socket.png"))
        with pytest.raises(DataError, match="3 of 15 images cannot be read") as error:
            export(encoder, open_images(picture_folder), tmp_path / "c.parquet")
    assert [line.split(": ")[1] for line in error.value.details] == ["not a regular file"] * 3


def test_a_stray_table_beside_photographs(picture_folder):
    table_of_pictures(picture_folder / "cache.parquet")
    with pytest.raises(UsageError, match=r"12 image files, and .*cache\.parquet; name the \.parquet data set"):
        open_images(picture_folder)
    with pytest.warns(UserWarning, match=r"1 \(a \.parquet file beside image files\): .*cache\.parquet"):
        assert len(open_images(picture_folder, skip_bad=True)) == 12
    assert len(open_images(picture_folder / "cache.parquet")) == 2


def test_codes_in_the_folder_of_their_images_are_no_images(encoder, picture_folder):
    export(encoder, open_images(picture_folder), picture_folder / "codes.parquet", thumbnails=True)
    assert len(open_images(picture_folder)) == 12
    for picture in find_files(picture_folder).images:
        picture.unlink()
    codes = codelab.load(picture_folder / "codes.parquet")
    pq.write_table(pa.table({"image": codes.items["thumbnail"]}), picture_folder / "set.parquet")
    assert len(open_images(picture_folder)) == 12  # the data set, not the codes


def test_an_export_into_the_folder_of_its_images_goes_on(encoder, picture_folder):
    """What a killed export leaves there: a finished part, a damaged one, and half a file."""
    (picture_folder / "bar" / "0.png").write_bytes(b"x")
    with pytest.raises(DataError, match="1 of 12 images"):
        export(encoder, open_images(picture_folder), picture_folder / "codes.parquet")
    parts = picture_folder / "codes.parquet.parts"
    (parts / "part-00001.parquet").write_bytes(b"PAR1")
    (parts / ".part-00002.parquet.codelab-abc.tmp").write_bytes(b"PAR1")
    draw("bar", 0).save(picture_folder / "bar" / "0.png")
    assert export(encoder, open_images(picture_folder), picture_folder / "codes.parquet").rows == 12
    assert not parts.exists()


def test_names_that_are_not_utf8_are_left_out_with_a_reason(encoder, picture_folder, tmp_path):
    (picture_folder / "bar").rename(picture_folder / "\udcff")
    first = sorted((picture_folder / "disc").iterdir())[0]
    first.rename(first.with_name("\udcfe.png"))
    with pytest.raises(DataError, match=r"2 \(its name is not UTF-8\): .*/\\udcff, .*disc/\\udcfe\.png"):
        open_images(picture_folder)
    with pytest.warns(UserWarning, match="2 .its name is not UTF-8"):
        images = open_images(picture_folder, skip_bad=True)
    assert export(encoder, images, tmp_path / "c.parquet", skip_bad=True).rows == 5
    with pytest.raises(DataError, match="its name is not UTF-8"):
        open_images(picture_folder / "\udcff")
