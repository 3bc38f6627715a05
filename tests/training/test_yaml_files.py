"""Config files that were made to break a reader are refused in one line."""

import time

import pytest

from codelab import UsageError
from training.config import load_config
from training.yaml_files import LARGEST

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: 2020-13-45", r"not YAML \(month must be in 1\.\.12"),
        ("lr: 2020-10-10", "lr is 2020-10-10, expected float"),
        ("2020-10-10: 3", "unknown key"),
        (f"bits: {'9' * 6000}", "not YAML .Exceeds the limit"),
        (f"bits: 0x{'f' * 9000}", "bits is a int too long to show, expected int"),
        (f"? 0x{'f' * 9000}\n: 1", "unknown key"),
        (f"data: {'[' * 30_000}", "not YAML"),
        (f"mean: {'[' * 200}{']' * 200}", "mean is .* expected float,float,float"),
        (f"{BOMB}mean: *i", "an alias in line 2, expected the value itself"),
        ("data: !!bool foo", "not YAML"),
        ("data: !!timestamp foo", "not YAML"),
        ('data: !!int ""', "not YAML"),
        ("? [a, b]\n: 1", "not YAML"),
        (f"? {'k' * 60_000}\n: 1", "unknown key 'kkk.*; the nearest is"),
        (f"data: {'x' * LARGEST}", "more than 65536 bytes, expected a config file"),
        (b"\xff\xfe\x00data", "not YAML"),
        ("data: a\ndata: b", "the key 'data' is there twice"),
    ],
)
def test_one_line(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    start = time.process_time()
    with pytest.raises(UsageError, match=message) as error:
        load_config(path)
    assert time.process_time() - start < 2
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 1000


def test_a_device_is_not_read_to_its_end():
    with pytest.raises(UsageError, match="more than 65536 bytes"):
        load_config("/dev/zero")
