"""The curves of a run: every number as it was written, and one exact line where a file is not what it should be."""

import json
import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codelab.core.errors import DataError, UsageError
from codelab.runs.readings import READINGS, SCORES, Rows, is_run, read_run, read_runs

DYING = "the bits are dying: mean bit entropy {:.2f} of 1"
APART = "the views do not agree: BCE {:.3f} stays at ln 2"


def write_run(folder, rows, evaluations=(), config=None):
    """A run folder with these rows; an absent file where there is nothing to write."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if evaluations:
        (folder / "evaluation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in evaluations))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def steps(*values, **more):
    return [{"step": 10 * (i + 1), "loss": value, **more} for i, value in enumerate(values)]


numbers = st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(math.nan), st.integers(-5, 5))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(list(READINGS)), numbers), min_size=1, max_size=12))
def test_every_number_is_read_as_pandas_reads_it(tmp_path_factory, rows):
    rows = [{"step": 7 * i, **row} for i, row in enumerate(rows)]
    folder = write_run(tmp_path_factory.mktemp("run"), rows)
    found = read_run(folder).readings
    expected = pd.DataFrame(rows).reindex(columns=["step", *READINGS]).astype(float)
    assert found.step.tolist() == expected["step"].tolist()
    for name in READINGS:
        np.testing.assert_array_equal(found[name], expected[name])
        column = expected[name].dropna()
        for lowest in (True, False):
            best = found.best(name, lowest=lowest)
            if column.empty:
                assert best is None
            else:
                value = column.min() if lowest else column.max()
                assert best == (value, expected["step"][(column == value).idxmax()])


def test_what_a_real_run_writes_is_known_by_these_names(tmp_path, picture_folder):
    """The contract with `codelab train`: each name that is read here is one that is written there."""
    from training.config import TrainConfig
    from training.loop import fit

    small = {"backbone": "conv", "width": 4, "bits": 8, "hidden": 16, "image_size": 16, "store_size": 16}
    config = TrainConfig(
        **small, data=str(picture_folder), run=str(tmp_path / "run"), local_views=0, batch=4, epochs=3, log_every=2,
        warmup_epochs=1, reset_every=1, evaluate_every=1, device="cpu", split="",
    )  # fmt: skip
    folder = fit(config, show=False)
    written = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    scored = [json.loads(line) for line in (folder / "evaluation.jsonl").read_text().splitlines()]
    assert {"step", "warning", "resets", *READINGS} <= set(written[-1])
    assert {"step", "best", *SCORES} <= set(scored[-1])
    run = read_run(folder)
    assert run.step == run.total == 9
    assert run.steps_per_epoch == 3
    assert run.resets == (3, 6)
    assert run.objective == "bits"
    assert run.bce
    assert len(run.evaluations) == 3
    assert run.readings["rate_term"] == pytest.approx([r["agreement_loss"] - r["loss"] for r in written])
    assert run.evaluations.step[run.evaluations["best"] == 1].tolist() == [r["step"] for r in scored if r["best"]]
    assert run.notes == ()


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path):
    folder = write_run(tmp_path / "run", steps(0.5, 0.4), steps(0.1), config={})
    for name in ("metrics.jsonl", "evaluation.jsonl"):
        with (folder / name).open("a") as file:
            file.write('{"step": 30, "lo')
    run = read_run(folder)
    assert (run.step, len(run.evaluations)) == (20, 1)
    assert run.notes == tuple(
        f"{name}: the last line was cut short, and is left out" for name in ("metrics.jsonl", "evaluation.jsonl")
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"step": 20, "lo', 'line 2 is \'{"step": 20, "lo\', expected a JSON object'),
        ("", "line 2 is '', expected a JSON object"),
        ("[20]", "line 2 is '[20]', expected a JSON object"),
        ("[" * 100_000, "expected a JSON object"),
        ('{"loss": 1}', "line 2 has step None, expected a whole number"),
        ('{"step": 20.5}', "line 2 has step 20.5, expected a whole number"),
        ('{"step": true}', "line 2 has step True, expected a whole number"),
        ('{"step": -1}', "line 2 has step -1, expected a whole number"),
        ('{"step": 10}', "line 2 has step 10 after 10, expected a later one"),
        ('{"step": 20, "loss": "low"}', "line 2 has loss 'low', expected a number"),
        ('{"step": 20, "loss": false}', "line 2 has loss False, expected a number"),
        ('{"step": 20, "entropy": [1]}', "line 2 has entropy [1], expected a number"),
        ('{"step": 20, "warning": 3}', "line 2 has warning 3, expected text or null"),
        ('{"step": 20, "resets": 5}', "line 2 has resets 5, expected a list of steps"),
        ('{"step": 20, "resets": [1.5]}', "line 2 has resets [1.5], expected a list of steps"),
        ('{"step": 20, "loss": "' + "x" * 900 + '"}', "xxx…, expected a number"),
        ('\xff{"step": 20}', "expected a JSON object"),
    ],
)
def test_a_broken_line_is_named(line, message, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\n".join([b'{"step": 10}', line.encode("latin-1"), b'{"step": 30}']))
    with pytest.raises(DataError) as error:
        read_run(tmp_path)
    text = str(error.value)
    assert text.startswith(f"{path}: line 2 ")
    assert message in text
    assert "\n" not in text
    assert len(text) < len(str(path)) + 150


def test_a_broken_evaluation_or_config_is_named(tmp_path):
    folder = write_run(tmp_path / "run", steps(1), [{"step": 1, "best": "yes"}])
    with pytest.raises(DataError, match=r"evaluation.jsonl: line 1 has best 'yes', expected true or false"):
        read_run(folder)
    (folder / "evaluation.jsonl").write_text("")
    for text, message in (("{", "config.json: not JSON"), ("[1]", "config.json: found list, expected a JSON object")):
        (folder / "config.json").write_text(text)
        with pytest.raises(DataError, match=message):
            read_run(folder)


def test_no_run_and_no_reading(tmp_path):
    with pytest.raises(UsageError, match=r"none: no such folder"):
        read_run(tmp_path / "none")
    assert not is_run(tmp_path)
    with pytest.raises(UsageError, match=r"no metrics.jsonl in it, expected a run folder"):
        read_run(tmp_path)
    for text in ("", "\n", '{"step": 1'):
        (tmp_path / "metrics.jsonl").write_text(text)
        assert is_run(tmp_path)
        with pytest.raises(DataError, match=r"metrics.jsonl: no reading yet"):
            read_run(tmp_path)


def test_old_new_and_odd_rows(tmp_path):
    """Keys may be missing, unknown, null, infinite or too large for a float."""
    rows = [{"step": 1, "loss": 1e400, "entropy": 10**400, "colour": "red"}, {"step": 5, "loss": None, "dof": -0.0}]
    run = read_run(write_run(tmp_path / "old", rows))
    assert np.isnan(run.readings["loss"]).all()
    assert np.isnan(run.readings["entropy"]).all()
    assert not run.readings.has("loss")
    assert str(run.readings.last("dof")) == "0.0"
    assert len(run.readings["kappa"]) == 2
    assert (run.resets, run.alarms, run.steps_per_epoch, run.total, run.objective) == ((), (), None, None, "bits")
    assert run.notes == ("config.json: not there, so the run's length and objective are not known",)


@pytest.mark.parametrize("epochs", [None, "8", 0, 2.5])
def test_the_length_is_known_only_from_a_whole_number_of_epochs(epochs, tmp_path):
    rows = [{"step": 10, "epoch": 10 / 29}, {"step": 58, "epoch": 2.0}]
    run = read_run(write_run(tmp_path / "run", rows, config={"epochs": epochs}))
    assert (run.steps_per_epoch, run.total) == (29, None)
    assert read_run(write_run(tmp_path / "run", rows, config={"epochs": 8})).total == 232


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["", "", DYING, APART]), min_size=1, max_size=25))
def test_alarms_are_the_readings_that_had_them(tmp_path_factory, kinds):
    said = [kind.format(0.1 + 0.01 * i) or None for i, kind in enumerate(kinds)]
    rows = [{"step": 10 * (i + 1), "warning": text} for i, text in enumerate(said)]
    alarms = read_run(write_run(tmp_path_factory.mktemp("run"), rows)).alarms
    told = dict.fromkeys((row["step"] for row in rows), "")
    for alarm in alarms:
        inside = [step for step in told if alarm.first <= step <= alarm.last]
        assert len(inside) == alarm.readings
        assert alarm.since == alarm.first - 10
        assert alarm.text == said[inside[0] // 10 - 1]
        assert alarm.standing == (alarm.last == rows[-1]["step"])
        told |= dict.fromkeys(inside, alarm.text[:10])
    assert list(told.values()) == [kind[:10] for kind in kinds]
    for before, after in pairwise(alarms):  # as long as they can be
        assert before.last < after.since or before.text[:10] != after.text[:10]


@given(st.integers(1, 500), st.integers(2, 60))
def test_thinned_rows_are_evenly_spaced_with_both_ends(n, most):
    rows = Rows(np.arange(n) * 3, {"loss": np.arange(n) * 1.0})
    thin = rows.thinned(most)
    assert len(thin) == min(n, most)
    assert (thin.step[0], thin.step[-1]) == (0, 3 * (n - 1))
    assert (thin["loss"] * 3 == thin.step).all()
    gaps = np.diff(thin.step)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 3


def test_runs_have_names_of_their_own(tmp_path):
    folders = [write_run(tmp_path / name, steps(1)) for name in ("a/train", "b/train", "c")]
    assert [run.name for run in read_runs(folders)] == ["a/train", "b/train", f"{tmp_path.name}/c"]
    assert [run.name for run in read_runs(folders[1:])] == ["train", "c"]
    with pytest.raises(UsageError, match="given twice, expected different runs"):
        read_runs([folders[0], folders[0].parent / "." / "train"])


def test_the_last_list_of_resets_counts(tmp_path):
    rows = [{"step": 1, "resets": []}, {"step": 9, "resets": [4]}, {"step": 20, "resets": [4, 12]}, {"step": 21}]
    assert read_run(write_run(tmp_path / "run", rows)).resets == (4, 12)
