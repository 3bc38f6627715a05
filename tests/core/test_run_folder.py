"""A run folder in the place of its encoder or of its codes, wherever one of them is asked for."""

import shutil

import pytest

import codelab
from codelab import Codes, UsageError
from codelab.cli.main import main
from codelab.core.files import find_checkpoint, iter_codes
from codelab.core.run_folder import codes_file, encoder_file
from codelab.images.encoder import Encoder, EncoderConfig
from training.evaluate import main as evaluate


@pytest.fixture
def run(tmp_path, picture_folder, capsys):
    """A folder as `codelab train` and `codelab export` leave it, with codes of a control beside its own."""
    folder = tmp_path / "run"
    folder.mkdir()
    Encoder(EncoderConfig(bits=21, image_size=16, width=4, hidden=16), seed=1).save(folder / "encoder.safetensors")
    call = ["export", "--ckpt", folder, "--data", picture_folder, "--out", folder / "codes.parquet", "--features"]
    assert main([str(word) for word in call]) == 0
    shutil.copy(folder / "codes.parquet", folder / "untrained.parquet")
    capsys.readouterr()
    return folder


def test_its_codes_and_its_encoder(run):
    codes = codelab.load(run)
    assert len(codes) == 12  # not those of the control too
    assert codes.meta["encoder"]["path"] == str(run / "encoder.safetensors")
    assert sum(len(block) for block in iter_codes(run)) == 12
    assert Encoder.load(run).sha256 == codes.meta["encoder"]["sha256"]
    codes.meta["encoder"] = {}
    assert find_checkpoint(codes, run) == run / "encoder.safetensors"


@pytest.mark.parametrize(
    "call",
    [
        ("analyze", "RUN", "--permutations", "5"),
        ("analyze", "RUN", "--stream", "--permutations", "5"),
        ("analyze", "RUN", "--views", "2", "--data", "DATA", "--ckpt", "RUN", "--permutations", "5"),
        ("search", "RUN", "--query", "DATA/disc/0.png", "-k", "2"),
        ("search", "RUN", "--query", "DATA/disc/0.png", "--ckpt", "RUN"),
        ("report", "RUN", "--out", "report.html"),
    ],
)
def test_every_command_takes_it(call, run, picture_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [word.replace("RUN", str(run)).replace("DATA", str(picture_folder)) for word in call]
    assert main(words) == 0, capsys.readouterr().err


def test_an_evaluation_takes_it(run, picture_folder, capsys):
    assert evaluate(["knn", "--ckpt", str(run), "--data", str(picture_folder), "-k", "1"]) == 0
    assert evaluate(["knn", "--codes", str(run), "-k", "1"]) == 0


def test_a_folder_of_parts_stays_what_it_is(tmp_path):
    codes = Codes.from_bits([[0, 1], [1, 1]])
    for name in ("a", "b"):
        (tmp_path / "parts").mkdir(exist_ok=True)
        codes.save(tmp_path / "parts" / f"{name}.parquet")
    assert len(codelab.load(tmp_path / "parts")) == 4


def test_what_is_not_there_is_said_in_one_line(run, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match=r"empty: a folder without encoder\.safetensors, expected"):
        encoder_file(empty)
    with pytest.raises(UsageError, match=r"empty: a folder without codes\.parquet or other \.parquet files, expected"):
        codes_file(empty)
    (run / "codes.parquet").unlink()
    with pytest.raises(UsageError, match=r"run: a run without codes, no codes\.parquet in it; make them with codelab"):
        codelab.load(run)
    (run / "metrics.jsonl").touch()
    (run / "encoder.safetensors").unlink()
    with pytest.raises(UsageError, match=r"run: no encoder\.safetensors yet, the run has not ended; go on with"):
        Encoder.load(run)
    export = ["export", "--ckpt", empty, "--data", run, "--out", tmp_path / "c.parquet"]
    for call in (["explore", empty], ["analyze", empty], export):
        assert main([str(word) for word in call]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_explorer_is_given_the_codes(run, monkeypatch):
    called = []
    monkeypatch.setattr("os.execv", lambda program, command: called.append(command))
    main(["explore", str(run)])
    assert called[0][-1] == str(run / "codes.parquet")
