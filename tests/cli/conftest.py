"""An encoder, and codes it made of a few pictures through the command line."""

import pytest

from codelab.cli.main import main
from codelab.images.encoder import Encoder, EncoderConfig


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "encoder.safetensors"
    Encoder(EncoderConfig(bits=21, image_size=16, width=4, hidden=16), seed=1).save(path)
    return path


@pytest.fixture
def exported(checkpoint, picture_folder, tmp_path, capsys):
    out = tmp_path / "codes.parquet"
    call = ["export", "--ckpt", checkpoint, "--data", picture_folder, "--out", out, "--logits", "--features"]
    assert main([*map(str, call), "--thumbnails"]) == 0
    assert capsys.readouterr().out == f"{out}: 12 codes of 21 bits\n"
    return out
