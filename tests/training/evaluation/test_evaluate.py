"""`python -m training.evaluate` as a user meets it: each protocol on pictures and on codes, against oracles."""

import csv
import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

import codelab
from codelab import Codes, UsageError
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.images.sources import open_images
from tests.conftest import draw
from training.config import TrainConfig
from training.evaluate import main
from training.evaluation.protocols import knn, probe
from training.evaluation.sets import Chosen, open_codes
from training.loop import fit

TINY = {
    "backbone": "conv", "width": 4, "bits": 16, "hidden": 32, "head_norm": "batch",
    "mean": [0.5] * 3, "std": [0.5] * 3, "image_size": 16, "store_size": 16, "local_views": 0,
    "blur": [0, 0, 0], "eps2": 0.5, "beta": 0.2, "reset_every": 0, "epochs": 4, "batch": 16, "lr": 0.05,
    "warmup_epochs": 1, "ema": 0.9, "device": "cpu", "precision": "fp32", "evaluate_every": 0,
}  # fmt: skip
COMMANDS = ("knn", "retrieval", "linear", "mlp", "adapt")


def draw_folder(root, counts, *, dark=False):
    """`root/split/class/*.png`, and `root/labels.csv` with a column `shade`."""
    rows = []
    for split, count in counts.items():
        for kind in ("bar", "disc"):
            folder = root / split / kind
            folder.mkdir(parents=True)
            for i in range(count):
                seed = 1000 * list(counts).index(split) + i
                picture = draw(kind, seed, 16)
                (picture.point(lambda v: 255 - v) if dark else picture).save(folder / f"{i:02d}.png")
                shade = "" if i == 0 else "odd" if i % 2 else "even"
                rows.append((f"{split}/{kind}/{i:02d}.png", kind, split, shade))
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split", "shade"), *rows])
    return root


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("pictures"), {"train": 30, "test": 20})


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory):
    """A trained run folder."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    config = TrainConfig(**TINY | {"data": str(pictures), "split": "train", "run": str(folder)})
    return fit(config, show=False)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture(scope="module")
def encoded(run, pictures):
    """Features, bits and labels of train and of test, by the encoder itself, picture by picture."""
    encoder, found = Encoder.load(run / "encoder.safetensors"), {}
    for split in ("train", "test"):
        images = open_images(pictures, split=split)
        features, logits = zip(
            *(encoder.encode(encoder.transform(images.image(i))[None]) for i in range(len(images))), strict=True
        )
        found[split] = np.concatenate(features), np.concatenate(logits) > 0, images.labels
    return found


def told(capsys, *arguments):
    """What a command prints as JSON."""
    assert main([*map(str, arguments), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def fails(capsys, code, *arguments):
    """Run a call that must fail; its one line of error."""
    try:
        returned = main([str(a) for a in arguments])
    except SystemExit as stop:
        returned = stop.code
    said = capsys.readouterr()
    assert returned == code, said
    assert said.out == ""
    lines = said.err.splitlines()
    assert "Traceback" not in said.err
    return lines[-1]


def figure(table, on, measure):
    (found,) = (f for f in table["figures"] if (f["on"], f["measure"]) == (on, measure))
    return found["means"]


def random_codes(n, classes=4, *, seed=0, bits=32, dims=12, told=0.0, split=None, start=0):
    """Codes and features that say `told` of the class, and a column `twin` that numbers the items from `start`."""
    rng = np.random.default_rng([seed, start])
    labels = rng.integers(0, classes, n)
    centres = np.random.default_rng(seed).normal(size=(classes, dims))
    features = (told * centres[labels] + rng.normal(size=(n, dims))).astype(np.float32)
    planes = np.random.default_rng(seed + 1).normal(size=(dims, bits))
    items = pa.table(
        {
            "id": [f"i{start + i}" for i in range(n)],
            "twin": [f"t{start + i}" for i in range(n)],
            "split": [split] * n if split else pa.nulls(n, pa.string()),
            "shade": [None if i % 5 == 0 else ("dark", "light")[i % 2] for i in range(n)],
        }
    )
    names = tuple(f"class {c}" for c in range(classes))
    return Codes.from_bits(features @ planes > 0, labels=labels, classes=names, items=items, features=features)


@pytest.fixture
def files(tmp_path):
    """Codes files of train and of test."""
    random_codes(300, told=1.0, split="train").save(tmp_path / "train.parquet")
    random_codes(120, told=1.0, split="test", start=300).save(tmp_path / "test.parquet")
    return tmp_path / "train.parquet", tmp_path / "test.parquet"


# -- the protocols on pictures ----------------------------------------------------------------------------------------


def test_knn_is_that_of_scikit_learn(run, pictures, encoded, capsys):
    table = told(capsys, "knn", "--ckpt", run, "--data", pictures, "-k", 1, 5, "--device", "cpu")
    (x, bits, y), (wanted, asked, truth) = encoded["train"], encoded["test"]
    for k in (1, 5):
        answer = KNeighborsClassifier(k, metric="cosine").fit(x, y).predict(wanted)
        found = figure(table, "features", f"{k}-NN accuracy")
        assert found["value"] == pytest.approx((answer == truth).mean(), abs=1e-9)
        assert found["class_value"] == pytest.approx(balanced_accuracy_score(truth, answer), abs=1e-9)
        assert found["interval"][0] <= found["value"] <= found["interval"][1]
        assert found["class_interval"][0] <= found["class_value"] <= found["class_interval"][1]
    names = ("bar", "disc")
    codes, queries = (Codes.from_bits(b, t, names) for b, t in ((bits, y), (asked, truth)))
    found = figure(table, "codes", "5-NN accuracy")
    assert found["value"] == pytest.approx(codelab.knn_accuracy(queries, codes, k=5).value)
    assert (table["n"], table["n_train"]) == (40, 60)
    assert (table["source"]["sha256"], table["train"]["sha256"]) == (queries.sha256, codes.sha256)


def test_retrieval_is_average_precision_by_scikit_learn(run, pictures, encoded, capsys):
    table = told(capsys, "retrieval", "--ckpt", run / "encoder.safetensors", "--data", pictures, "-k", 3)
    (x, _, y), (wanted, _, truth) = encoded["train"], encoded["test"]
    unit, asked = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, wanted))
    values = np.array([average_precision_score(y == truth[i], asked[i] @ unit.T) for i in range(40)])
    found = figure(table, "features", "mAP@ALL")
    assert found["value"] == pytest.approx(values.mean(), abs=1e-4)
    assert found["class_value"] == pytest.approx(np.mean([values[truth == c].mean() for c in (0, 1)]), abs=1e-4)
    nearest = np.argsort(-(asked @ unit.T), axis=1)[:, :3]
    assert figure(table, "features", "precision@3")["value"] == pytest.approx((y[nearest] == truth[:, None]).mean())
    assert figure(table, "codes", "mAP@ALL")["value"] > 0.5


def test_without_a_train_split_test_images_answer_each_other(run, pictures, encoded, capsys):
    alone = told(capsys, "retrieval", "--ckpt", run, "--data", pictures / "test", "-k", 1)
    same = told(capsys, "retrieval", "--ckpt", run, "--data", pictures, "--train-split", "test", "-k", 1)
    assert alone["train"] is None
    assert (alone["n"], alone["n_train"]) == (40, 40)
    assert alone["figures"] == same["figures"]
    wanted, _, truth = encoded["test"]
    unit = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    right = truth[cosine.argmax(1)] == truth
    assert figure(alone, "features", "precision@1")["value"] == pytest.approx(right.mean())


def test_train_images_from_another_place(run, pictures, capsys):
    split = told(capsys, "knn", "--ckpt", run, "--data", pictures, "-k", 1)
    apart = told(
        capsys, *("knn", "--ckpt", run, "--data", pictures / "test", "--train-data", pictures / "train", "-k", 1)
    )
    assert apart["figures"] == split["figures"]


def test_the_linear_probe_is_that_of_scikit_learn(run, pictures, encoded, capsys):
    table = told(capsys, "linear", "--ckpt", run, "--data", pictures, "--seed", 3)
    for on, column in (("features", 0), ("bits", 1)):
        x, y, wanted, truth = (
            *(encoded["train"][i] for i in (column, 2)),
            *(encoded["test"][i] for i in (column, 2)),
        )
        found = table["probes"][on]
        scaler = StandardScaler().fit(x.astype(np.float64))
        peer = LogisticRegression(C=1 / (found["penalty"] * len(x)), tol=1e-8, max_iter=10_000)
        right = peer.fit(scaler.transform(x.astype(np.float64)), y).score(scaler.transform(wanted * 1.0), truth)
        assert found["value"] == pytest.approx(right, abs=1 / 40 + 1e-9)
        assert found["majority"]["value"] == 0.5
        assert found["n_validation"] == 12
    assert table["seed"] == 3
    assert table["probes"]["bits"]["dims"] == 16


def test_the_mlp_probe_learns_discs_from_bars(run, pictures, capsys):
    table = told(capsys, "mlp", "--ckpt", run, "--data", pictures)
    assert table["probes"]["features"]["value"] > 0.7
    assert table["probes"]["features"]["hidden"] == 512
    assert table["probes"]["features"]["epochs"] >= 1


def test_a_timm_backbone(pictures, capsys):
    call = ("knn", "--ckpt", "timm:test_resnet", "--random-weights", "--bits", 24, "--data", pictures, "-k", 1)
    table = told(capsys, *call)
    assert table["source"]["bits"] == 24
    assert table["of"] == "timm:test_resnet"


def test_labels_from_a_csv_and_an_attribute_as_the_label(run, pictures, capsys):
    call = ("--ckpt", run, "--data", pictures, "--labels", pictures / "labels.csv", "-k", 1)
    assert told(capsys, "knn", *call)["figures"] == told(capsys, "knn", *call[:4], *call[-2:])["figures"]
    table = told(capsys, "knn", *call, "--by", "shade")
    assert table["n"] == 38
    assert table["n_train"] == 58
    assert table["notes"] == [
        "left out: 2 of 40 test images, without a value of shade",
        "left out: 2 of 60 train images, without a value of shade",
    ]


def test_unreadable_pictures_fail_or_are_left_out_and_counted(run, tmp_path, capsys):
    root = draw_folder(tmp_path / "p", {"train": 6, "test": 4})
    (root / "train" / "bar" / "02.png").write_bytes(b"x")
    call = ("knn", "--ckpt", run, "--data", root, "-k", 1)
    line = fails(capsys, 1, *call)
    assert "1 of 12 images cannot be read" in line
    assert line.endswith("; --skip-bad leaves them out")
    table = told(capsys, *call, "--skip-bad")
    assert table["n_train"] == 11
    assert table["notes"] == ["left out: 1 of 12 train images that cannot be read"]


# -- adaptation -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("target"), {"train": 24, "test": 12}, dark=True)


def test_adaptation_measures_what_the_commands_measure_before_and_after(run, config, target, tmp_path, capsys):
    out = tmp_path / "adapted"
    call = ("adapt", "--ckpt", run, "--data", target, "--config", config, "--run", out, "--epochs", 3)
    table = told(capsys, *call)
    for ckpt, when in ((run, "before"), (out, "after")):
        neighbours = told(capsys, "knn", "--ckpt", ckpt, "--data", target, "-k", 20)
        ranks = told(capsys, "retrieval", "--ckpt", ckpt, "--data", target, "-k", 1)
        for change in table["changes"]:
            peer = figure(ranks if "mAP" in change["measure"] else neighbours, change["on"], change["measure"])
            for name in ("value", "class_value", "interval", "class_interval"):
                assert change[when][name] == pytest.approx(peer[name])
    for change in table["changes"]:
        moved = change["after"]["value"] - change["before"]["value"]
        assert change["change"]["value"] == pytest.approx(moved, abs=1e-9)
        low, high = change["change"]["interval"]
        assert low <= change["change"]["value"] <= high
    assert [(c["on"], c["measure"]) for c in table["changes"]] == [
        ("codes", "mAP@ALL"), ("codes", "20-NN accuracy"), ("features", "mAP@ALL"), ("features", "20-NN accuracy"),
    ]  # fmt: skip
    assert (table["trained_on"], table["n"], table["n_train"], table["epochs"]) == (48, 24, 48, 3)

    # it went on from the trained backbone, with another head
    start, adapted = (Encoder.load(folder / "encoder.safetensors") for folder in (run, out))
    assert adapted.config.training["split"] == "train"
    assert adapted.config.training["reset_at_start"] is True
    assert table["sha256"] == [start.sha256, adapted.sha256]
    fresh = Encoder(dataclasses.replace(start.config, training={}), seed=0)
    for name, parameter in fresh.backbone.named_parameters():
        far = (adapted.backbone.get_parameter(name) - parameter).norm()
        assert (adapted.backbone.get_parameter(name) - start.backbone.get_parameter(name)).norm() < far

    assert "holds a run already" in fails(capsys, 2, *call)
    again = told(capsys, *call, "--resume")
    assert again["changes"] == table["changes"]


def test_adaptation_sees_neither_test_images_nor_labels(run, config, target, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(target, other)
    for path in (other / "test").rglob("*.png"):
        draw("bar", 9999, 16).save(path)
    with (other / "labels.csv").open() as file:
        rows = [row | {"label": f"{i % 3}"} for i, row in enumerate(csv.DictReader(file))]
    with (other / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    weights = []
    for number, data in enumerate((target, other)):
        out = tmp_path / f"{number}"
        call = ("adapt", "--ckpt", run, "--config", config, "--epochs", 1, "--run", out, "--data", data)
        told(capsys, *call, "--labels", data / "labels.csv")
        weights.append(load_file(out / "encoder.safetensors"))
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_adaptation_takes_from_the_checkpoint_what_it_is_and_from_flags_what_they_say(run, target, tmp_path, capsys):
    other = tmp_path / "other.yaml"
    recipe = {
        "image_size": 224,
        "bits": 256,
        "backbone": "vit_base_patch16_224",
        "pretrained": True,
        "head_norm": "none",
    }
    other.write_text(yaml.safe_dump(TINY | recipe))
    table = told(
        capsys,
        *("adapt", "--ckpt", run, "--data", target, "--config", other, "--run", tmp_path / "out"),
        *("--epochs", 1, "--bits", 24, "--seed", 5),
    )
    adapted = Encoder.load(tmp_path / "out" / "encoder.safetensors").config
    assert (adapted.backbone, adapted.image_size, adapted.head_norm, adapted.bits) == ("conv", 16, "batch", 24)
    assert table["bits"] == [16, 24]
    assert table["seed"] == 5


def test_adaptation_of_a_timm_backbone(target, config, tmp_path, capsys):
    table = told(
        capsys,
        *("adapt", "--ckpt", "timm:test_resnet", "--random-weights", "--data", target, "--config", config),
        *("--run", tmp_path / "out", "--epochs", 1, "--image-size", 32, "--store-size", 32),
    )
    adapted = Encoder.load(tmp_path / "out" / "encoder.safetensors").config
    assert (adapted.backbone, adapted.bits) == ("test_resnet", 16)
    assert table["bits"] == [16, 16]


def test_adaptation_to_images_without_splits_or_train_labels(run, config, target, tmp_path, capsys):
    call = ("adapt", "--ckpt", run, "--config", config, "--epochs", 1, "--data")
    line = fails(capsys, 2, *call, target / "train", "--test-split", "test", "--run", tmp_path / "a")
    assert "no split 'train'; found no splits; name one with --split, '' for every image" in line
    assert not (tmp_path / "a").exists()
    table = told(capsys, *call, target / "train", "--run", tmp_path / "held")
    assert (table["trained_on"], table["n"], table["n_train"]) == (38, 10, 38)
    assert table["notes"] == [f"{target / 'train'}: no split 'test': 10 of 48 images held out by chance (seed 0)"]
    table = told(capsys, *call, target / "train", "--split", "", "--run", tmp_path / "a")
    assert (table["trained_on"], table["n"], table["train"]) == (48, 48, None)
    assert table["notes"] == ["the test images were trained on too, without their labels"]

    with (target / "labels.csv").open() as file:
        rows = [row | {"label": ""} if row["split"] == "train" else row for row in csv.DictReader(file)]
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    table = told(capsys, *call, target, "--labels", tmp_path / "labels.csv", "--run", tmp_path / "b")
    assert (table["trained_on"], table["n"], table["train"]) == (48, 24, None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--init", "x"), "--ckpt names the weights to start from, found --init too"),
        (("--test-split", "val"), "no split 'val'; found test, train"),
        (("--split", "val"), "no split 'val'; found test, train"),
        (("--by", "size"), "no column 'size' for --by"),
        (("--betta", "1"), "unrecognized arguments: --betta 1"),
        (("--beta", "x"), "config: beta is x, expected float"),
        (("--local-views", "2", "--local-size", "96"), "local_size is 96 and"),
        (("--config", "none.yaml"), "none.yaml: No such file"),
    ],
)
def test_an_adaptation_that_cannot_be(flags, message, run, config, target, tmp_path, capsys):
    call = ("adapt", "--ckpt", run, "--data", target, "--config", config, "--run", tmp_path / "out")
    assert message in fails(capsys, 2, *call, *flags)
    assert not (tmp_path / "out").exists()


# -- codes files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["knn", "retrieval", "linear"])
def test_two_files_one_file_and_pictures_give_the_same(command, files, tmp_path, capsys):
    two = told(capsys, command, "--codes", *files)
    Codes.concat([codelab.load(file) for file in files]).save(tmp_path / "both.parquet")
    one = told(capsys, command, "--codes", tmp_path / "both.parquet")
    name = "figures" if "figures" in one else "probes"
    assert one[name] == two[name]
    assert two["n"] == 120
    assert two["n_train"] == 300


def test_exported_codes_give_what_pictures_give(run, pictures, tmp_path, capsys):
    from codelab.cli.main import main as codelab_main

    out = tmp_path / "codes.parquet"
    ckpt = run / "encoder.safetensors"
    assert codelab_main([*map(str, ("export", "--ckpt", ckpt, "--data", pictures, "--features", "--out", out))]) == 0
    capsys.readouterr()
    made = told(capsys, "retrieval", "--ckpt", run, "--data", pictures)
    read = told(capsys, "retrieval", "--codes", out)
    assert made["figures"] == read["figures"]
    assert made["source"] == read["source"]
    assert read["of"] == str(ckpt)


def test_near_copies_never_answer(tmp_path, capsys):
    """Labels are noise and each test item has a copy in train: 1-NN is perfect by its copy, and chance without."""
    train = random_codes(300, split="train", told=0)
    asked = train[:100]
    asked = dataclasses.replace(
        asked, items=asked.items.set_column(asked.items.column_names.index("split"), "split", [["test"] * 100])
    )
    train.save(tmp_path / "train.parquet")
    asked.save(tmp_path / "test.parquet")
    files = (tmp_path / "train.parquet", tmp_path / "test.parquet")
    careless = told(capsys, "knn", "--codes", *files, "-k", 1)
    assert figure(careless, "features", "1-NN accuracy")["value"] == 1
    assert told(capsys, "knn", "--codes", *files, "-k", 1, "--group", "none") == careless
    fair = told(capsys, "knn", "--codes", *files, "-k", 1, "--group", "twin")
    assert figure(fair, "features", "1-NN accuracy")["value"] < 0.45
    assert "same twin left out" in fair["how"]

    probed = told(capsys, "linear", "--codes", *files, "--group", "twin")
    assert probed["n_train"] == 200
    assert "left out: 100 of 300 train images of a twin that the test has too" in probed["notes"]
    train[:100].save(tmp_path / "train.parquet")
    line = fails(capsys, 1, "linear", "--codes", *files, "--group", "twin")
    assert line == "evaluate: train: every image is of a twin that the test has too"


def test_with_groups_intervals_are_of_groups(files, tmp_path, capsys):
    """Each test item five times over: the interval by groups is that of the items, by images it is far too narrow."""
    test = codelab.load(files[1])
    five = test[np.repeat(np.arange(len(test)), 5)]
    five.save(tmp_path / "five.parquet")
    single = told(capsys, "retrieval", "--codes", *files, "-k", 1)
    grouped = told(capsys, "retrieval", "--codes", files[0], tmp_path / "five.parquet", "-k", 1, "--group", "twin")
    careless = told(capsys, "retrieval", "--codes", files[0], tmp_path / "five.parquet", "-k", 1)
    one, two, three = (figure(t, "codes", "mAP@ALL") for t in (single, grouped, careless))
    assert one["value"] == pytest.approx(two["value"])
    assert np.diff(two["interval"]) == pytest.approx(np.diff(one["interval"]), rel=0.15)
    assert np.diff(three["interval"]) < 0.6 * np.diff(one["interval"])
    assert two["class_interval"] != one["class_interval"]
    assert "resamples of the test groups" in grouped["how"]


def test_weighted_votes_are_dinos(files, capsys):
    table = told(capsys, "knn", "--codes", *files, "-k", 20, "--weighted")
    train, test = map(codelab.load, files)
    unit, asked = (c.features / np.linalg.norm(c.features, axis=1, keepdims=True) for c in (train, test))
    cosine = asked @ unit.T
    votes = np.zeros((120, 4))
    for i, row in enumerate(cosine):
        near = np.argsort(-row)[:20]
        np.add.at(votes[i], train.labels[near], np.exp(row[near] / 0.07))
    found = figure(table, "features", "weighted 20-NN accuracy")
    assert found["value"] == pytest.approx((votes.argmax(1) == test.labels).mean())


def test_the_default_ks_are_those_that_fit(files, tmp_path, capsys):
    codelab.load(files[0])[:7].save(tmp_path / "seven.parquet")
    table = told(capsys, "knn", "--codes", tmp_path / "seven.parquet", files[1])
    assert [f["measure"] for f in table["figures"]][:2] == ["1-NN accuracy", "5-NN accuracy"]
    assert len(table["figures"]) == 4
    line = fails(capsys, 2, "knn", "--codes", tmp_path / "seven.parquet", files[1], "-k", 20)
    assert "k=20: the database has 7 codes" in line


def test_unlabelled_and_unknown_are_left_out_and_counted(files, tmp_path, capsys):
    train, test = map(codelab.load, files)
    labels = train.labels.copy()
    labels[:30] = -1
    labels[(labels == 3)] = -1
    gone = int((labels < 0).sum())
    dataclasses.replace(train, labels=labels).save(tmp_path / "a.parquet")
    table = told(capsys, "linear", "--codes", tmp_path / "a.parquet", files[1])
    strange = int((test.labels == 3).sum())
    assert table["notes"] == [
        f"left out: {gone} of 300 train images, without a label",
        f"left out: {strange} of 120 test images, of 1 classes that train does not have (class 3)",
    ]
    assert (table["n"], table["n_train"]) == (120 - strange, 300 - gone)
    assert table["probes"]["bits"]["classes"] == 3


def test_classes_are_matched_by_name(files, tmp_path, capsys):
    _, test = map(codelab.load, files)
    turned = dataclasses.replace(test, labels=(3 - test.labels).astype(np.int32), classes=test.classes[::-1])
    turned.save(tmp_path / "turned.parquet")
    for command in ("knn", "linear"):
        one = told(capsys, command, "--codes", *files)
        two = told(capsys, command, "--codes", files[0], tmp_path / "turned.parquet")
        name = "figures" if command == "knn" else "probes"
        assert one[name] == two[name]


def broken(train, test, how):
    """The two sets with something wrong."""
    match how:
        case "no labels":
            return dataclasses.replace(train, labels=np.full(300, -1, np.int32)), test
        case "no test labels":
            return train, dataclasses.replace(test, labels=np.full(120, -1, np.int32))
        case "no features":
            return dataclasses.replace(train, features=None), test
        case "other classes":
            return train, dataclasses.replace(test, classes=tuple("abcd"))
        case "empty":
            return train, test[:0]
        case "single images":
            return train[[int(np.flatnonzero(train.labels == c)[0]) for c in range(4)]], test
        case "other features":
            return train, dataclasses.replace(test, features=test.features[:, :5])
        case "another encoder":
            return dataclasses.replace(train, meta={"encoder": {"sha256": "1"}}), test
        case "several labels":
            return tuple(dataclasses.replace(c, labels=np.eye(4, dtype=bool)[c.labels]) for c in (train, test))


@pytest.mark.parametrize("command", ["knn", "linear", "mlp"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no labels", "train.parquet: none of 300 train images has a label"),
        ("no test labels", "test.parquet: none of 120 test images has a label"),
        ("no features", "train.parquet: codes without features; export them with --features"),
        ("other classes", "none of its classes (a, b, c and 1 more) is one of train's (class 0, class 1, class 2 and"),
        ("empty", "test.parquet: none of 0 test images has a label"),
        ("other features", "features, "),
        ("another encoder", "made by another encoder than"),
        ("several labels", "one label an i"),
    ],
)
def test_sets_that_cannot_be_evaluated(command, how, message, files, capsys):
    for codes, file in zip(broken(*map(codelab.load, files), how), files, strict=True):
        codes.save(file)
    assert message in fails(capsys, 1, command, "--codes", *files)


@pytest.mark.parametrize("command", ["linear", "mlp"])
def test_probes_need_classes_and_two_images_of_one(command, files, capsys):
    train, test = map(codelab.load, files)
    only = train[train.labels == 1]
    only.save(files[0])
    assert "train: all " in (line := fails(capsys, 1, command, "--codes", *files))
    assert "of one class, expected 2 classes or more" in line
    broken(train, test, "single images")[0].save(files[0])
    assert "none of 4 classes has 2 images, one to fit and one to choose on" in fails(
        capsys, 1, command, "--codes", *files
    )


def test_features_that_are_not_numbers(files, pictures, tmp_path, capsys):
    table = pq.read_table(files[0])
    values = table["features"].combine_chunks().values.to_numpy().copy()
    values[12 * 7 + 5] = np.nan
    column = pa.FixedSizeListArray.from_arrays(values, 12)
    place = table.column_names.index("features")
    pq.write_table(table.set_column(place, "features", column), files[0])
    line = fails(capsys, 1, "linear", "--codes", *files)
    assert line == f"evaluate: {files[0]}: features: row 7, column 5 is nan, expected a finite number"

    encoder = Encoder(EncoderConfig(bits=8, image_size=16, width=4, hidden=8))
    norm = [m for m in encoder.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)][-1]
    norm.weight.data.fill_(3e38)  # finite weights, features beyond float32
    norm.running_var.fill_(0)
    encoder.save(tmp_path / "huge.safetensors")
    line = fails(capsys, 1, "linear", "--ckpt", tmp_path / "huge.safetensors", "--data", pictures)
    assert "not finite numbers" in line
    assert str(pictures) in line


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"python -m training.evaluate {command}" in capsys.readouterr().out.split("examples:")[1]


def test_results_are_frames_too(files):
    sets = open_codes([*map(str, files)], Chosen())
    frame = knn(sets, ks=[3]).to_frame()
    assert frame["on"].tolist() == ["codes", "features"]
    assert (frame["low"] <= frame["value"]).all()
    assert (frame["class_value"] <= frame["class_high"]).all()
    frame = probe(sets, "linear").to_frame()
    assert frame["on"].tolist() == ["features", "bits", "majority class"]
    assert (frame["value"][:2] > frame["value"][2]).all()
    with pytest.raises(UsageError, match="probe='tree': expected linear, mlp"):
        probe(sets, "tree")
    with pytest.raises(UsageError, match="a probe needs train images apart from those of the test"):
        probe(dataclasses.replace(sets, train=None), "linear")


@pytest.mark.parametrize("command", ["knn", "retrieval", "linear", "mlp"])
def test_tables_are_for_people(command, files, capsys):
    if command == "mlp":  # classes far apart are learnt in seconds
        random_codes(60, told=5.0, split="train").save(files[0])
        random_codes(120, told=5.0, split="test", start=60).save(files[1])
    assert main([command, "--codes", *map(str, files)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "120 test images" in said
    assert "over classes" in said
    assert "95% intervals" in said
    table = told(capsys, command, "--codes", *files)
    first = figure(table, "codes", table["figures"][0]["measure"]) if "figures" in table else None
    value = first["value"] if first else table["probes"]["bits"]["value"]
    assert f"{value:.3f} [" in said
    if command in ("linear", "mlp"):
        assert "majority class" in said


def test_the_table_of_an_adaptation(run, config, target, tmp_path, capsys):
    call = ("adapt", "--ckpt", run, "--data", target, "--config", config, "--epochs", 1, "--run", tmp_path / "out")
    assert main([*map(str, call), "--group", "path"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "before" in said
    assert "1 epochs on 48 images" in said
    assert said.count("mAP@ALL") == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["knm"], "invalid choice: 'knm'"),
        (["knn"], "expected --ckpt and --data, or --codes"),
        (["knn", "--ckpt", "{run}"], "expected --ckpt and --data, or --codes"),
        (["knn", "--codes", "{train}", "--skip-bad"], "codes are made already, found --skip-bad too"),
        (["knn", "--codes", "{train}", "{test}", "{test}"], "found 3 files"),
        (["knn", "--codes", "{tmp}/none.parquet"], "none.parquet: no such file or folder"),
        (["knn", "--codes", "{train}"], "no split 'test'; found train"),
        (["knn", "--codes", "{train}", "{test}", "-k", "0"], "expected a whole number of 1 or more, found '0'"),
        (["knn", "--codes", "{train}", "{test}", "--by", "size"], "no column 'size' for --by; found id"),
        (["knn", "--codes", "{train}", "{test}", "--group", "size"], "no column 'size' for --group; found id"),
        (["linear", "--codes", "{test}"], "no train images apart from those of the test; found test"),
        (["linear", "--codes", "{train}", "{test}", "--train-split", "x"], "no split 'x'; found train"),
        (["mlp", "--codes", "{test}", "--train-split", "test"], "no train images apart from those of the test"),
        (["knn", "--codes", "{test}", "--train-split", ""], "train is all and test test, which overlap"),
        (["knn", "--ckpt", "{tmp}/x", "--data", "{data}"], "x: no such file"),
        (["knn", "--ckpt", "{run}", "--data", "{tmp}/x"], "x: no such file or folder"),
        (["knn", "--ckpt", "{run}", "--data", "{data}", "--bits", "8"], "--bits and --random-weights go with timm"),
        (["knn", "--ckpt", "timm:resnt18", "--data", "{data}"], "resnet18"),
        (["knn", "--ckpt", "{run}", "--data", "{data}", "--device", "tpu"], "invalid choice: 'tpu'"),
        (["adapt", "--data", "{data}"], "required: --ckpt"),
    ],
)
def test_a_wrong_call_is_exit_2(arguments, message, run, pictures, files, tmp_path, capsys):
    names = {"run": run, "data": pictures, "train": files[0], "test": files[1], "tmp": tmp_path}
    assert message in fails(capsys, 2, *(a.format(**names) for a in arguments))


def test_as_a_process():
    call = [sys.executable, "-m", "training.evaluate", "knn", "--codes", "none.parquet"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "evaluate: none.parquet: no such file or folder\n"
