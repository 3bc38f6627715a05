"""What the hardware can do: which number type a run takes, and what it records of it."""

import dataclasses
import json

import pytest
import torch

from codelab import UsageError
from codelab.images.encoder import Encoder, read_header
from tests.support.training_runs import TINY, image_set
from training.loop import fit
from training.process import PRECISIONS, find_precision

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")


@pytest.fixture(params=[True, False], ids=["bf16", "none"])
def native(request, monkeypatch):
    """Whether a GPU has bf16; PyTorch says yes for every GPU where emulation counts."""
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or request.param
    )
    return request.param


def test_auto_is_bf16_only_where_a_gpu_has_it(native):
    assert find_precision("auto", GPU) == ("bf16" if native else "fp16")


def test_bf16_is_refused_where_a_gpu_would_emulate_it(native):
    if native:
        assert find_precision("bf16", GPU) == "bf16"
    else:
        with pytest.raises(UsageError, match="precision is bf16, and this GPU has none; expected auto, fp16 or fp32"):
            find_precision("bf16", GPU)
    for name in ("fp32", "fp16"):
        assert find_precision(name, GPU) == name


@pytest.mark.parametrize("native", [True, False])
def test_auto_on_a_cpu(native, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    assert find_precision("auto", CPU) == ("bf16" if native else "fp32")
    assert all(find_precision(name, CPU) == name for name in PRECISIONS)


def test_a_run_records_what_auto_became(tmp_path):
    config = dataclasses.replace(TINY, epochs=1, reset_every=0, precision="auto", run=str(tmp_path / "run"))
    run = fit(config, images=image_set(40), show=False)
    taken = find_precision("auto", CPU)
    assert taken != "auto"
    assert json.loads((run / "config.json").read_text())["precision"] == taken
    assert read_header(run / "checkpoint.safetensors", kind="checkpoint")["config"]["precision"] == taken
    assert Encoder.load(run / "encoder.safetensors").config.training["precision"] == taken
    fit(config, images=image_set(40), resume=True, show=False)
