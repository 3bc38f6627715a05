"""The command line as a new user meets it: real processes, exit codes, one exact line when something is wrong."""

import ast
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import codelab
from codelab import Codes
from codelab.cli.main import main
from codelab.images.encoder import Encoder
from tests.conftest import ROOT
from tests.support.calls import fails

COMMANDS = ("demo", "train", "export", "analyze", "search", "map", "report", "explore")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    examples = text.split("examples:")[1].strip("\n").splitlines()
    assert all(line.startswith(f"  codelab {command}") and line == line.rstrip() for line in examples)


def test_as_a_process():
    done = subprocess.run([sys.executable, "-m", "codelab", "analyze", "none.parquet"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "codelab: none.parquet: no such file or folder\n"


def test_importing_codelab_is_light():
    """`import codelab` must not bring the heavy packages; nor must --help."""
    script = (
        "import sys, codelab; from codelab.cli.main import command_line; command_line().format_help();"
        "print([m for m in ('torch', 'numba', 'pandas', 'plotly', 'streamlit', 'scipy', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_analyze_in_words_and_in_json(exported, tmp_path, capsys):
    assert main(["analyze", str(exported), "--permutations", "20"]) == 0
    text = capsys.readouterr().out
    assert "Bit balance" in text
    assert "12" in text.splitlines()[0]
    assert main(["analyze", str(exported), "--permutations", "20", "--json", "--out", str(tmp_path / "r.json")]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results == json.loads((tmp_path / "r.json").read_text())
    codes = codelab.load(exported)
    assert results["bit_usage"]["p"] == pytest.approx(codes.to_bits().mean(0).tolist())
    assert results["bit_usage"]["source"]["sha256"] == codes.sha256
    assert len(results["class_information"]["q_value"]) == 21


def test_sections_appear_on_a_terminal_as_they_finish(exported, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["analyze", str(exported), "--permutations", "20", "--json"]) == 0
    said = capsys.readouterr()
    names = [line.split(" s  ")[1].partition(":")[0] for line in said.err.splitlines() if " s  " in line]
    assert [name for name in json.loads(said.out) if ":" not in name] == list(dict.fromkeys(names))


def test_analyze_block_by_block_gives_the_same_numbers(tmp_path, capsys):
    rng = np.random.default_rng(0)
    codes = Codes.from_bits(rng.random((400, 10)) > 0.4, labels=rng.integers(0, 3, 400))
    for number in range(2):
        codes[number * 200 : number * 200 + 200].save(tmp_path / f"part-{number}.parquet")
    assert main(["analyze", str(tmp_path), "--json", "--permutations", "20"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert main(["analyze", str(tmp_path), "--json", "--permutations", "20", "--stream"]) == 0
    streamed = json.loads(capsys.readouterr().out)
    assert streamed["bit_usage"]["p"] == pytest.approx(whole["bit_usage"]["p"])
    assert streamed["class_information"]["p_value"] == pytest.approx(whole["class_information"]["p_value"])
    assert streamed["degrees_of_freedom"]["value"] == pytest.approx(whole["degrees_of_freedom"]["value"])
    assert main(["analyze", str(tmp_path), "--stream"]) == 0
    shown = capsys.readouterr().out
    assert "controls (shuffled codes, random directions) need the codes in memory" in shown.splitlines()[0]
    assert "independent coins" in shown
    assert "without --by" in fails(capsys, 2, "analyze", tmp_path, "--stream", "--by", "tone")


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """Codes of 40 objects, five near copies each; the column `object` says which."""
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(40), 5)
    bits = rng.integers(0, 2, (40, 64))[number]
    path = tmp_path_factory.mktemp("copied") / "codes.parquet"
    Codes.from_bits(bits, number % 2, items={"object": number.astype(str)}).save(path)
    return path


def test_groups_of_near_copies_are_named_by_one_option(copied, tmp_path, capsys):
    call = ["analyze", str(copied), "--permutations", "20", "--json"]
    assert main([*call, "--group", "object"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    grouped = codelab.analyze(codelab.load(copied), groups="object", permutations=20)
    assert json.loads(said.out) == json.loads(json.dumps({name: r.to_dict() for name, r in grouped.items()}))
    assert main(["report", str(copied), "--group", "object", "--out", str(tmp_path / "r.html")]) == 0
    assert capsys.readouterr().err == ""
    page = (tmp_path / "r.html").read_text()
    assert "near copies share one object" in page
    assert "at most one for each object" in page
    assert main([*call[:-1], "--group", "object"]) == 0
    assert "near copies share one object" in capsys.readouterr().out.splitlines()[0]
    assert "these codes have object" in fails(capsys, 2, "analyze", copied, "--group", "objects")


@pytest.mark.parametrize("command", ["analyze {} --json", "analyze {} --json --stream", "report {} --out {}.html"])
def test_copies_that_nobody_named_are_one_line_on_stderr(command, copied, tmp_path, capsys):
    path = shutil.copy(copied, tmp_path)
    call = command.format(path, path).split()
    assert main(call) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("codelab: warning: near copies count as independent images here, and 100% of the images ")
    assert main([*call, "--group", "none", "--overwrite"]) == 0
    assert capsys.readouterr().err == ""


def test_a_stream_cannot_have_a_group_column(copied, tmp_path, capsys):
    line = fails(capsys, 2, "analyze", copied, "--stream", "--group", "object")
    assert line.endswith("block by block, without --by, --split, --views, --packing and the column of --group")
    bits = codelab.load(copied)[::5].to_bits()
    Codes.from_bits(bits, items={"emoji": ["a", "b"] * 20}).save(tmp_path / "c.parquet")
    assert main(["analyze", str(tmp_path / "c.parquet"), "--stream"]) == 0
    assert "the column 'emoji' has one value for several images" in capsys.readouterr().err


def test_a_warning_is_one_line_as_an_error_is(tmp_path):
    np.savez(tmp_path / "c.npz", codes=np.random.default_rng(0).integers(0, 2, (30, 8)), targets=np.zeros(30))
    done = subprocess.run(
        [sys.executable, "-m", "codelab", "analyze", "c.npz", "--json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("codelab: warning: c.npz: not read: targets; an .npz holds codes, packed or bits")


def test_every_section_is_in_the_table_with_its_figure_or_its_reason(exported, capsys):
    assert main(["analyze", str(exported), "--permutations", "20"]) == 0
    text = capsys.readouterr().out
    for section in ("code_length", "total_correlation", "collisions", "bit_dependence", "bit_reuse", "geometry"):
        assert section in text
    assert "needs codes of another view" in text  # why the channel was skipped


def test_analyze_without_labels_says_what_it_skips(tmp_path, capsys):
    path = tmp_path / "c.npy"
    np.save(path, np.random.default_rng(0).random((300, 12)) > 0.5)
    assert main(["analyze", str(path), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert "label" in results["class_information"]["reason"]
    assert "features" in results["geometry"]["reason"]
    assert results["degrees_of_freedom"]["value"] == pytest.approx(12, abs=2)


def test_report_is_written(exported, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main(["report", str(exported), "--out", str(out), "--title", "Bars & discs"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    html = out.read_text()
    assert "Bars &amp; discs" in html
    assert codelab.load(exported).sha256 in html


def test_by_and_split(tmp_path, capsys):
    rng = np.random.default_rng(0)
    items = {"split": ["a", "b"] * 100, "tone": ["dark", "light", None, "dark"] * 50}
    Codes.from_bits(rng.random((200, 9)) > 0.5, items=items).save(tmp_path / "c.parquet")
    assert main(["analyze", str(tmp_path / "c.parquet"), "--by", "tone", "--split", "b", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["bit_usage"]["source"]["n"] == 100
    assert results["class_information"]["n"] == 100
    assert results["class_information"]["classes"] == 2


@pytest.mark.parametrize("command", ["compare", "score"])
def test_codes_of_another_program_beside_our_own(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CODELAB_CACHE", str(tmp_path / "cache"))
    bits = np.random.default_rng(0).random((60, 16)) > 0.5
    labels = np.arange(60) % 3
    Codes.from_bits(bits, labels).save(tmp_path / "ours.parquet")
    np.save(tmp_path / "theirs.npy", (np.packbits(bits, axis=1).astype(np.int16) - 128).astype(np.int8))
    ours, theirs, out = tmp_path / "ours.parquet", tmp_path / "theirs.npy", tmp_path / "card.json"
    more = ["--json"] if command == "compare" else ["--out", str(out)]
    assert "say packing=signed" in fails(capsys, 1, command, ours, theirs, *more)
    assert "--packing lsb is for files of other programs" in fails(
        capsys, 2, command, ours, ours, "--packing", "lsb", *more
    )
    assert main([command, str(ours), str(theirs), "--packing", "signed", *more]) == 0
    if command == "compare":
        assert json.loads(capsys.readouterr().out)["matching"]["phi"] == pytest.approx([1] * 16)
    else:
        rows = [row for row in json.loads(out.read_text())["rows"] if row["given"]]
        assert [row["name"] for row in rows] == ["ours", "theirs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["analyse"], "invalid choice: 'analyse'"),
        (["analyze"], "required: codes"),
        (["analyze", "{codes}", "--split", "x"], "split 'x'"),
        (["analyze", "{codes}", "--by", "tone"], "attribute 'tone'"),
        (["analyze", "{codes}", "--permutations", "0"], "expected a whole number of 1 or more, found '0'"),
        (["search", "{codes}"], "one of --query IMAGE and --id ID"),
        (["search", "{codes}", "--id", "zebra"], "no item has the id 'zebra'"),
        (["search", "{codes}", "--query", "zebra.png"], "zebra.png: no such file"),
        (["export", "--ckpt", "{tmp}/no.safetensors", "--data", "{tmp}", "--out", "{tmp}/o.parquet"], "no such file"),
        (["export", "--ckpt", "{ckpt}", "--data", "{tmp}/no", "--out", "{tmp}/o.parquet"], "no such file or folder"),
        (["export", "--ckpt", "timm:resnt18", "--data", "{data}", "--out", "{tmp}/o.parquet"], "resnet18"),
        (["explore", "{tmp}/no.parquet"], "no such file"),
        (["train", "{tmp}/no.yaml"], "no.yaml"),
    ],
)
def test_a_wrong_call_is_exit_2(arguments, message, exported, checkpoint, picture_folder, tmp_path, capsys):
    names = {"codes": exported, "tmp": tmp_path, "ckpt": checkpoint, "data": picture_folder}
    assert message in fails(capsys, 2, *(a.format(**names) for a in arguments))
    assert not (tmp_path / "o.parquet").exists()


def test_failed_work_is_exit_1(exported, checkpoint, picture_folder, tmp_path, capsys):
    truncated = tmp_path / "t.parquet"
    truncated.write_bytes(exported.read_bytes()[:-100])
    assert "not a whole Parquet file" in fails(capsys, 1, "analyze", truncated)
    foreign = tmp_path / "f.safetensors"
    foreign.write_bytes(b"hello")
    out = tmp_path / "o.parquet"
    call = ("export", "--ckpt", foreign, "--data", picture_folder, "--out", out)
    assert "not a whole safetensors file" in fails(capsys, 1, *call)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no image found" in fails(capsys, 1, "export", "--ckpt", checkpoint, "--data", empty, "--out", out)
    assert not out.exists()


def test_corrupt_images_are_listed_and_skipped_by_choice(checkpoint, picture_folder, tmp_path, capsys):
    (picture_folder / "bar" / "3.png").write_bytes(b"x")
    out = tmp_path / "o.parquet"
    call = [*map(str, ("export", "--ckpt", checkpoint, "--data", picture_folder, "--out", out))]
    assert main(call) == 1
    said = capsys.readouterr().err.splitlines()
    assert "bar/3.png: not a readable image" in said[0]
    assert said[1].startswith("codelab:")
    assert "--skip-bad" in said[1]
    assert not out.exists()
    assert main([*call, "--skip-bad"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}: 11 codes of 21 bits, 1 skipped\n"
    assert "skipped" in said.err
    assert "bar/3.png" in said.err


def test_a_timm_backbone_with_random_weights(picture_folder, tmp_path, capsys):
    out = tmp_path / "t.parquet"
    call = ["export", "--ckpt", "timm:test_resnet", "--random-weights", "--bits", "32", "--data", picture_folder]
    assert main([*map(str, call), "--out", str(out)]) == 0
    assert codelab.load(out).bits == 32
    assert codelab.load(out).meta["encoder"]["name"] == "test_resnet"


def test_train_from_the_command_line(tmp_path, picture_folder, capsys):
    config = tmp_path / "tiny.yaml"
    config.write_text(
        "backbone: conv\nwidth: 4\nbits: 8\nhidden: 16\nimage_size: 16\nstore_size: 16\nlocal_views: 0\n"
        "warmup_epochs: 1\n"
    )
    run = tmp_path / "run"
    call = ["train", str(config), "--data", str(picture_folder), "--run", str(run)]
    assert main([*call, "--batch", "4", "--epochs", "2", "--reset-every", "0"]) == 0
    assert capsys.readouterr().out == f"{run}\n"
    assert Encoder.load(run / "encoder.safetensors").config.bits == 8
    assert "already trained; --fresh to redo" in fails(capsys, 2, *call)
    assert main([*call, "--batch", "4", "--epochs", "2", "--reset-every", "0", "--resume"]) == 0
    assert capsys.readouterr().err == f"{run}: already trained, --fresh to redo\n"


@pytest.mark.parametrize(
    "call",
    [("train", "demo", "--epoch", "3"), ("demo", "--no-s"), ("analyze", "x.parquet", "--js"), ("--vers",)],
)
def test_flags_are_not_abbreviated(call, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*call])
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_no_parser_takes_abbreviations():
    """Also those of scripts, which are not of our own kind."""
    for path in (path for top in ("codelab", "training", "app", "benchmarks") for path in (ROOT / top).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("ArgumentParser", ".add_parser")):
                ours = "commands.add_parser" in ast.unparse(node.func) and path.name == "command.py"
                words = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert ours or words.get("allow_abbrev") == "False", f"{path}: line {node.lineno}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("- a\n", "expected a mapping"),
        ("bits: 0\n", "bits is 0"),
        ("betta: 1\n", "nearest is 'beta'"),
        ("bits: many\n", "expected int"),
        ("data: [1\n", "not YAML"),
    ],
)
def test_a_bad_config_is_one_line(text, message, tmp_path, capsys):
    config = tmp_path / "bad.yaml"
    config.write_text(text)
    assert message in fails(capsys, 2, "train", config, "--run", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_python_m_training_is_codelab_train():
    done = subprocess.run([sys.executable, "-m", "training", "none.yaml"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "training: none.yaml: No such file or directory\n"
    done = subprocess.run([sys.executable, "-m", "training", "none.yaml", "--nope"], capture_output=True, text=True)
    assert len(done.stderr.splitlines()) == 1


def test_outputs_that_cannot_be_are_refused_before_the_work(exported, checkpoint, picture_folder, tmp_path, capsys):
    export = ("export", "--ckpt", checkpoint, "--data", picture_folder, "--out")
    file = tmp_path / "file"
    file.write_text("mine")
    assert "a folder, expected the name of a file" in fails(capsys, 2, "analyze", exported, "--out", tmp_path)
    assert "cannot be made" in fails(capsys, 2, "analyze", exported, "--out", file / "r.json")
    assert "cannot be made" in fails(capsys, 2, "report", exported, "--out", file / "r.html")
    assert "cannot be made" in fails(capsys, 2, *export, file / "o.parquet")
    assert "expected a file ending in .parquet" in fails(capsys, 2, *export, file)
    assert "expected a file ending in .parquet" in fails(capsys, 2, *export, tmp_path / "o.txt")
    assert file.read_text() == "mine"
    assert not list(tmp_path.glob("*.parts"))


def test_devices_weights_and_ports_that_cannot_be(exported, checkpoint, picture_folder, tmp_path, capsys):
    export = ("export", "--data", picture_folder, "--out", tmp_path / "o.parquet", "--ckpt")
    assert "device 'tpu': cannot be used here" in fails(capsys, 2, *export, checkpoint, "--device", "tpu")
    assert "go with timm:NAME" in fails(capsys, 2, *export, checkpoint, "--bits", "13")
    assert "expected a port" in fails(capsys, 2, "explore", exported, "--port", "99999")
    truncated = tmp_path / "t.parquet"
    truncated.write_bytes(exported.read_bytes()[:-50])
    assert "not a whole Parquet file" in fails(capsys, 1, "explore", truncated)
    assert not (tmp_path / "o.parquet").exists()
