"""What a path from a stranger may name."""

import pytest

from codelab.core.files import find_checkpoint
from codelab.core.inside import inside
from tests.support.pictured import shapes


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    for name in ("data/a.png", "data/sub/b.png", "private.png"):
        (tmp_path / name).write_text("x")
    (root / "link.png").symlink_to(tmp_path / "private.png")
    (root / "up").symlink_to(tmp_path)
    (root / "circle").symlink_to(root / "circle")
    (tmp_path / "data2").mkdir()
    (tmp_path / "data2" / "c.png").write_text("x")
    return root


def test_what_lies_inside(root):
    for name in ("a.png", "sub/b.png", "sub/../a.png", root / "a.png", "up/data/a.png", root, "."):
        assert inside(name, root).is_relative_to(root)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "{root}/../private.png",
            "../private.png",
            "link.png",
            "up/private.png",
            "../data2/c.png",
            "/etc/passwd",
            "/",
        ),
        *("none.png", "circle", "a.png/x", "a\0b", "x" * 5000, "", "~", "~root", "~/x", "//host/share/x.png"),
        *("\\\\host\\share\\x.png", "http://host/x.png", "file:///etc/passwd", "\ud800"),
    ],
)
def test_what_does_not(root, name):
    assert inside(name.format(root=root), root) is None


def test_a_root_that_is_not_there_holds_nothing(root):
    assert inside(root / "a.png", root / "gone") is None


def test_a_checkpoint_that_codes_name_outside_the_root_is_not_opened(root, tmp_path):
    codes = shapes(4, thumbnails=False)
    codes.meta["encoder"] = {"path": str(tmp_path / "private.png")}
    assert find_checkpoint(codes, root / "codes.parquet") == tmp_path / "private.png"
    assert find_checkpoint(codes, root / "codes.parquet", root=root) is None
    (root / "encoder.safetensors").write_text("x")
    assert find_checkpoint(codes, root / "codes.parquet", root=root) == root / "encoder.safetensors"
