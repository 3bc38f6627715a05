"""Image sources, each built for real in a temporary folder."""

import io
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from codelab import DataError, UsageError
from codelab.images.imageset import decode
from codelab.images.openmoji import dominant_colour
from codelab.images.sources import open_images
from tests.conftest import draw


def png(image):
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def test_a_folder_gives_classes_by_subfolder(picture_folder):
    (picture_folder / "notes.txt").write_text("not an image")
    images = open_images(picture_folder)
    assert len(images) == 12
    assert images.classes == ("bar", "disc")
    assert images.labels.tolist() == [0] * 6 + [1] * 6
    assert images.items["id"][0].as_py() == "bar/0.png"
    assert np.array_equal(np.asarray(images.image(7)), np.asarray(draw("disc", 1)))


def test_a_folder_with_splits(picture_folder, tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    for split in ("train", "val"):
        shutil.copytree(picture_folder, root / split)
    images = open_images(root, split="val")
    assert len(images) == 12
    assert images.classes == ("bar", "disc")
    assert set(images.items["split"].to_pylist()) == {"val"}
    with pytest.raises(UsageError, match="split 'test' has no image; found train, val"):
        open_images(root, split="test")


def test_a_flat_folder_has_no_labels(picture_folder):
    images = open_images(picture_folder / "bar")
    assert images.classes == ()
    assert images.labels.tolist() == [-1] * 6


def test_a_csv_gives_labels_and_attributes(picture_folder, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("path,label,colour\ndisc/0.png,round,red\nbar/3.png,,\n")
    images = open_images(picture_folder, labels_csv=table)
    assert images.classes == ("round",)
    assert images.labels.tolist() == [0, -1]
    assert images.items["colour"].to_pylist() == ["red", None]
    assert np.array_equal(np.asarray(images.image(1)), np.asarray(draw("bar", 3)))
    table.write_text("path,label\ndisc/0.png,round\ndisc/99.png,round\n")
    with pytest.raises(DataError, match="line 3: no file"):
        open_images(picture_folder, labels_csv=table)
    table.write_text("file,label\n")
    with pytest.raises(DataError, match="no column 'path'; found file, label"):
        open_images(picture_folder, labels_csv=table)


def test_a_hugging_face_data_set(tmp_path):
    """Image structs, integer labels with their names in the schema, several row groups and files."""
    pictures = [draw("disc", seed) for seed in range(10)]
    info = '{"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}'
    for number in range(2):
        rows = range(number * 5, number * 5 + 5)
        table = pa.table(
            {
                "image": [{"bytes": png(pictures[i]), "path": None} for i in rows],
                "label": [i % 2 for i in rows],
                "year": [2000 + i for i in rows],
            }
        ).replace_schema_metadata({"huggingface": info})
        pq.write_table(table, tmp_path / f"train-{number}.parquet", row_group_size=2)
    images = open_images(tmp_path)
    assert len(images) == 10
    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0, 1] * 5
    assert images.items["year"].to_pylist() == list(range(2000, 2010))
    for i in (9, 0, 4, 5):
        assert np.array_equal(np.asarray(images.image(i)), np.asarray(pictures[i]))


def test_a_parquet_of_plain_bytes_and_names(tmp_path):
    table = pa.table({"picture": [png(draw("bar", 0))] * 3, "class": ["10", "9", None]})
    pq.write_table(table, tmp_path / "p.parquet")
    images = open_images(tmp_path / "p.parquet")
    assert images.classes == ("9", "10")
    assert images.labels.tolist() == [1, 0, -1]
    assert images.image(2).size == (24, 24)


def test_what_is_no_source_of_images(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        open_images(tmp_path / "nothing")
    with pytest.raises(DataError, match="no image found"):
        open_images(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UsageError, match="expected a folder of images"):
        open_images(tmp_path / "a.txt")
    (tmp_path / "p.parquet").write_text("x")
    with pytest.raises(DataError, match="not a whole Parquet file"):
        open_images(tmp_path / "p.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "p.parquet")
    with pytest.raises(DataError, match="no column of image bytes; found x"):
        open_images(tmp_path / "p.parquet")


def test_tables_that_are_not_what_they_seem(picture_folder, tmp_path):
    table = tmp_path / "labels.csv"
    for content, message in (
        (b"path,label\nbar/0.png,caf\xe9\n", "not a CSV file in UTF-8"),
        (b"path,label\nbar/0.png\n", "line 2 does not have the 2 cells of line 1"),
        (b"path,label\nbar/0.png,a,b\n", "line 2 does not have the 2 cells of line 1"),
        (b"path,label\n", "no row below the header"),
        (b"path,label,code\nbar/0.png,a,b\n", "a column 'code'"),
        (b"path,label,thumbnail\nbar/0.png,a,b\n", "a column 'thumbnail'"),
    ):
        table.write_bytes(content)
        with pytest.raises(DataError, match=message):
            open_images(picture_folder, labels_csv=table)
    one = pa.table({"image": [png(draw("bar", 0))], "label": [3]})
    for described in ("{bad", "[]", '{"info": 3}'):
        pq.write_table(one.replace_schema_metadata({"huggingface": described}), tmp_path / "p.parquet")
        assert open_images(tmp_path / "p.parquet").classes == ("3",)
    folder = tmp_path / "mixed"
    folder.mkdir()
    pq.write_table(one, folder / "a.parquet")
    pq.write_table(one.rename_columns(["image", "other"]), folder / "b.parquet")
    with pytest.raises(DataError, match="do not have the same columns"):
        open_images(folder)


def test_decoding_modes():
    grey = Image.fromarray(np.full((4, 4), 100, np.uint8))
    assert decode(png(grey), "g").getpixel((0, 0)) == (100, 100, 100)
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert decode(png(clear), "c").getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30])
    assert decode(png(palette), "p").getpixel((0, 0)) == (10, 20, 30)


def test_a_photo_is_turned_as_its_exif_says():
    image = Image.new("RGB", (6, 3), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif)
    assert decode(out.getvalue(), "x").size == (3, 6)


@pytest.mark.parametrize("cut", [0, 1, 30, 100])
def test_broken_bytes_are_named(cut):
    with pytest.raises(DataError, match=r"cat\.png: not a readable image") as error:
        decode(png(draw("disc", 0, 64))[:cut], "cat.png")
    assert "\n" not in str(error.value)
    assert " at 0x" not in str(error.value)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((230, 30, 30), "red"),
        ((240, 150, 30), "orange"),
        ((250, 230, 40), "yellow"),
        ((40, 180, 60), "green"),
        ((0, 200, 200), "cyan"),
        ((40, 80, 220), "blue"),
        ((160, 60, 200), "purple"),
        ((10, 10, 10), "black"),
        ((200, 200, 200), "grey/white"),
    ],
)
def test_dominant_colour(rgb, name):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[2:6, 2:6] = (*rgb, 255)
    pixels[2, 2:6] = (0, 0, 0, 255)
    assert dominant_colour(pixels) == name
    assert dominant_colour(np.zeros((8, 8, 4), np.uint8)) == "grey/white"


def test_the_demo_set():
    """Halves by emoji identity, no picture twice, attributes where they exist."""
    images = open_images("demo")
    assert len(images) > 3500
    assert len(images.classes) == 9
    table = images.items.to_pandas()
    halves = table.groupby("emoji")["split"].nunique()
    assert (halves == 1).all()
    assert 0.4 < (table["split"] == "test").mean() < 0.6
    pixels = {np.asarray(images.image(i)).tobytes() for i in range(0, len(images), 9)}
    assert len(pixels) >= len(range(0, len(images), 9)) - 2  # alpha may differ where the picture on white is alike
    people = table["category"] == "People & Body"
    assert set(table.loc[table["tone"].notna(), "category"]) == {"People & Body"}
    assert table.loc[people, "gender"].notna().sum() > 500
    assert table.loc[table["id"] == "1F600", "name"].item() == "grinning face"
