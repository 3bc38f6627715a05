"""The report of training runs: the figures draw what was written, the page says how it went, and opens offline."""

import json
import math
import re

import numpy as np
import pytest

from codelab import DataError, UsageError
from codelab.cli.main import main
from codelab.core import drawing
from codelab.runs.figures import COLOURS, DASHES, MOST, Line, Panel, axis_of, curves
from codelab.runs.readings import read_run, read_runs
from codelab.runs.report import write_run_report
from codelab.runs.verdict import about, alarm_lines, course
from tests.runs.test_readings import APART, DYING, steps, write_run
from tests.support.browser import chromium

CONFIG = {
    "objective": "bits",
    "bits": 64,
    "backbone": "conv",
    "data": "demo",
    "split": "train",
    "epochs": 4,
    "batch": 32,
    "beta": 0.1,
    "best_by": "code_map",
    "reset_every": 2,
    "evaluate_split": "test",
    "run": "runs/x",
}
SPOKEN = f"{DYING.format(0.12)}; nearly every image gets the same code"


def readings(count=40, per_epoch=10, resets=(21,), **more):
    """A run of `count` readings that learns, with a jump at each reset."""
    rows = []
    for step in range(1, count + 1):
        since = step - max([r for r in resets if r < step], default=0)
        bce = 0.4 + 0.29 / since
        rows.append(
            {
                "step": step,
                "epoch": step / per_epoch,
                "loss": bce - 0.1,
                "agreement_loss": bce,
                "rate": 9.0,
                "rate_share": 0.7,
                "entropy": 0.93,
                "agreement": 0.6 - 0.5 / since,
                "dof": 20.0 + step / 4,
                "skipped": 0,
                "images_per_second": 640.0,
                "data_wait": 0.02,
                "lr": 1e-3 / step,
                "resets": [r for r in resets if r < step],
                "warning": None,
            }
            | more
        )
    return rows


def evaluations(*code_maps, every=10):
    rows = []
    for i, value in enumerate(code_maps):
        scores = {"code_map": value, "feature_map": 0.3 + i / 100, "code_knn": 0.4, "feature_knn": 0.5, "kappa": 0.45}
        bits = {"entropy": 0.92, "dof": 18.0, "block_entropy": 7.04, "agreement": 0.8, "d_eff": 21.5, "r_eff": 50.5}
        best = value is not None and value > max((v for v in code_maps[:i] if v is not None), default=0)
        rows.append({"step": every * (i + 1), "epoch": i + 1.0, "images": 900, "best": best, **scores, **bits})
    return rows


@pytest.fixture
def healthy(tmp_path):
    return write_run(tmp_path / "healthy", readings(), evaluations(0.2, 0.31, 0.28, 0.3), CONFIG)


@pytest.fixture
def collapsed(tmp_path):
    rows = readings(resets=())
    for row in rows[29:]:
        row |= {"warning": SPOKEN, "entropy": 0.12}
    return write_run(tmp_path / "collapsed", rows, evaluations(0.2, 0.1), CONFIG | {"beta": 0.0, "reset_every": 0})


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser):
    """Opens a file in a browser without a network; it says nothing, and asks for nothing beyond itself."""
    contexts = []

    def open_file(path, width=1280):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
        page = context.new_page()
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        contexts.append((context, said, asked, path))
        return page

    yield open_file
    for context, said, asked, path in contexts:
        assert said == []
        assert {url for url in asked if not url.startswith(("data:", "blob:"))} == {path.as_uri()}
        context.close()


class TestFigures:
    PANEL = Panel((Line("entropy", "entropy", "entropy"), Line("agreement", "agreement", "kappa")), "0 to 1")

    def test_lines_are_the_readings_and_diamonds_the_evaluations(self, healthy):
        run = read_run(healthy)
        drawn = {trace.name: trace for trace in curves(self.PANEL, [run]).data}
        assert list(drawn) == ["entropy", "entropy, evaluated", "agreement", "agreement, evaluated"]
        for name, rows, column in (
            ("entropy", run.readings, "entropy"),
            ("agreement", run.readings, "agreement"),
            ("entropy, evaluated", run.evaluations, "entropy"),
            ("agreement, evaluated", run.evaluations, "kappa"),
        ):
            np.testing.assert_array_equal(drawn[name].x, rows.step)
            np.testing.assert_array_equal(drawn[name].y, rows[column])
        assert drawn["entropy"].line.dash != drawn["agreement"].line.dash
        assert drawn["entropy"].line.color != drawn["agreement"].line.color
        assert drawn["agreement, evaluated"].mode == "markers"

    def test_resets_are_dotted_lines_with_one_entry_in_the_legend(self, tmp_path):
        run = read_run(write_run(tmp_path / "run", readings(resets=(11, 21, 31)), config=CONFIG))
        lines = [shape for shape in curves(self.PANEL, [run]).layout.shapes if shape.type == "line"]
        assert [(line.x0, line.x1) for line in lines] == [(11, 11), (21, 21), (31, 31)]
        assert {(line.line.dash, line.name, line.yref, line.y0, line.y1) for line in lines} == {
            ("dot", "head reset", "paper", 0, 1)
        }
        assert [line.showlegend for line in lines] == [True, False, False]

    def test_alarms_are_bands_from_the_reading_before(self, collapsed):
        (band,) = curves(self.PANEL, [read_run(collapsed)]).layout.shapes
        assert (band.type, band.x0, band.x1, band.name, band.showlegend) == ("rect", 29, 40, "alarm", True)
        assert band.fillcolor == drawing.VERMILLION

    def test_alarms_that_come_and_go_are_no_flood_of_shapes(self, tmp_path):
        rows = [{"step": i + 1, "entropy": 0.5, "warning": SPOKEN if i % 3 == 0 else None} for i in range(6000)]
        run = read_run(write_run(tmp_path / "run", rows))
        shapes = curves(self.PANEL, [run]).layout.shapes
        assert len(run.alarms) == 2000
        assert len(shapes) <= 500
        assert (shapes[0].x0, shapes[-1].x1) == (0, 5998)

    def test_many_rows_are_thinned_and_both_ends_kept(self, tmp_path):
        rows = [{"step": i + 1, "entropy": i / 7000} for i in range(7000)]
        (trace,) = curves(self.PANEL, [read_run(write_run(tmp_path / "run", rows))]).data
        assert len(trace.x) == MOST
        assert (trace.x[0], trace.x[-1]) == (1, 7000)
        np.testing.assert_allclose(trace.y, (trace.x - 1) / 7000)
        assert trace.mode == "lines"

    def test_one_reading_is_a_mark_that_can_be_seen(self, tmp_path):
        (trace,) = curves(self.PANEL, [read_run(write_run(tmp_path / "run", [{"step": 3, "entropy": 0.5}]))]).data
        assert "markers" in trace.mode

    def test_a_limit_is_a_dotted_line_within_the_axis(self, healthy):
        panel = Panel((Line("block entropy", score="block_entropy", limit=(8.0, "full")),), "bits", span=(0, 1))
        figure = curves(panel, [read_run(healthy)])
        limit = next(trace for trace in figure.data if trace.name == "full")
        assert (list(limit.x), list(limit.y), limit.line.dash) == ([0, 40], [8, 8], "dot")
        assert figure.layout.yaxis.range[0] == 0
        assert figure.layout.yaxis.range[1] > 8

    def test_the_star_is_the_teacher_that_was_kept(self, healthy):
        panel = Panel((Line("code mAP", score="code_map"), Line("feature mAP", score="feature_map")), "mAP")
        figure = curves(panel, [read_run(healthy)], best_by="code_map")
        (star,) = (trace for trace in figure.data if trace.marker.symbol == "star")
        assert (list(star.x), list(star.y)) == ([20], [0.31])

    def test_runs_over_each_other_differ_in_colour_and_dash(self, tmp_path):
        folders = [write_run(tmp_path / f"r{i}", readings(12, resets=(5 + i % 2,))) for i in range(8)]
        panel = Panel((Line("entropy", "entropy"),), "bits")
        figure = curves(panel, read_runs(folders))
        assert [trace.name for trace in figure.data] == [f"r{i}" for i in range(8)]
        assert len({(trace.line.color, trace.line.dash) for trace in figure.data}) == 8
        resets = [shape for shape in figure.layout.shapes if shape.type == "line"]
        assert [(line.name, line.x0) for line in resets] == [(f"r{i}: head reset", 5 + i % 2) for i in range(8)]
        assert [line.line.color for line in resets] == [trace.line.color for trace in figure.data]

    def test_thirty_styles_and_none_for_chance_or_limits(self):
        styles = {(COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]) for i in range(30)}
        assert len(styles) == 30
        assert not {drawing.GREY, drawing.VERMILLION} & set(COLOURS)
        assert "dot" not in DASHES

    def test_resets_that_all_runs_share_are_drawn_once(self, tmp_path):
        runs = read_runs([write_run(tmp_path / name, readings()) for name in "ab"])
        (line,) = curves(Panel((Line("entropy", "entropy"),), "bits"), runs).layout.shapes
        assert (line.name, line.x0) == ("head reset", 21)

    def test_epochs_of_different_lengths_make_an_axis_of_epochs(self, tmp_path):
        folders = [write_run(tmp_path / f"r{n}", readings(4 * n, n, resets=(2 * n,))) for n in (5, 10)]
        runs = read_runs(folders)
        assert [axis_of(runs), axis_of(runs[:1])] == ["epoch", "step"]
        figure = curves(Panel((Line("entropy", "entropy"),), "bits"), runs)
        assert figure.layout.xaxis.title.text == "epoch"
        assert [trace.x[-1] for trace in figure.data] == [4, 4]
        assert [shape.x0 for shape in figure.layout.shapes] == [2, 2]

    def test_names_are_not_markup(self, tmp_path):
        runs = read_runs([write_run(tmp_path / name, readings()) for name in ("<b>bold", "a & b")])
        names = [trace.name for trace in curves(Panel((Line("entropy", "entropy"),), "bits"), runs).data]
        assert names == ["&lt;b&gt;bold", "a &amp; b"]


class TestWords:
    def course(self, tmp_path, rows, scored=(), config=CONFIG):
        return course(read_run(write_run(tmp_path / "run", rows, scored, config)))

    def test_finished_and_healthy(self, healthy):
        line = course(read_run(healthy))
        assert (line.level, line.title) == ("good", "No fault found")
        assert line.text == (
            "Finished: 40 steps, 4 epochs. No alarm; the entropy of a bit is 0.93 of 1, two views agree 0.57 above "
            "chance, the BCE is 0.415, under ln 2 = 0.693. Best code mAP 0.310, at step 20 (epoch 2)."
        )

    def test_an_alarm_that_stands(self, collapsed):
        line = course(read_run(collapsed))
        assert line.level == "bad"
        assert f"Alarm since step 30: {SPOKEN}." in line.text
        assert "No alarm" not in line.text
        assert alarm_lines(read_run(collapsed)) == [("Steps 30 to 40, the last reading (11 readings)", SPOKEN)]

    def test_an_alarm_that_is_over(self, tmp_path):
        rows = readings()
        rows[24]["warning"], rows[30]["warning"] = SPOKEN, APART.format(0.69)
        line = self.course(tmp_path, rows)
        assert line.level == "watch"
        assert f"Alarm at step 25, over since, and 1 more alarm: {SPOKEN}." in line.text
        assert "It was not evaluated." in line.text

    def test_not_finished(self, tmp_path):
        line = self.course(tmp_path, readings(39))
        assert "Not finished: stopped, or still running, at step 39 of 40 (epoch 3.9)." in line.text

    def test_length_unknown(self, tmp_path):
        line = self.course(tmp_path, readings(39), config=None)
        assert "The last reading is of step 39 (epoch 3.9); how long the run was to be is not known." in line.text

    @pytest.mark.parametrize(
        ("more", "level", "words"),
        [
            ({"entropy": 0.3}, "bad", "entropy of a bit is 0.30 of 1 in the last reading: most bits hardly change"),
            ({"entropy": 0.8}, "watch", "0.80 of 1 in the last reading: many bits are seldom 0, or 1"),
            ({"agreement_loss": 0.69}, "watch", "The BCE of the last reading is 0.690, no better than coin flips"),
            ({"agreement": 0.01}, "watch", "agree hardly more than by chance in the last reading (+0.01)"),
            ({"loss": math.nan}, "watch", "The last reading has no finite loss."),
        ],
    )
    def test_the_last_reading_is_judged_though_no_alarm_was_raised(self, more, level, words, tmp_path):
        rows = readings()
        rows[-1] |= more
        line = self.course(tmp_path, rows)
        assert (line.level, words in line.text) == (level, True), line.text

    def test_low_figures_soon_after_the_start_or_a_reset_are_no_collapse(self, tmp_path):
        line = self.course(tmp_path, readings(25, entropy=0.3))
        assert line.level == "watch"
        assert "Only 4 steps after a head reset that means little yet." in line.text
        line = self.course(tmp_path, readings(5, entropy=0.3))
        assert "Only 5 steps after the start" in line.text
        assert self.course(tmp_path, readings(20, entropy=0.3)).level == "bad"

    def test_ln_2_is_a_level_of_bits_alone(self, tmp_path):
        rows = readings(agreement_loss=3.1)
        assert self.course(tmp_path, rows, config=CONFIG | {"objective": "dino"}).level == "good"
        assert self.course(tmp_path, rows, config=CONFIG | {"objective": "hashcoder"}).level == "watch"

    def test_skipped_steps_and_a_loss_that_was_not_finite(self, tmp_path):
        rows = readings(30)
        rows[3]["skipped"], rows[9]["skipped"] = 1, 2
        write_run(tmp_path / "run", rows, config=CONFIG)
        (tmp_path / "run" / "nonfinite.json").write_text("{}")
        line = course(read_run(tmp_path / "run"))
        assert line.level == "bad"
        assert "the loss was not finite in several steps in a row" in line.text
        assert "3 steps had no finite gradient and were skipped." in line.text

    def test_the_best_is_by_what_the_run_went_by_where_it_has_it(self, tmp_path):
        scored = evaluations(0.2, 0.3)
        scored[0]["dof"] = 44.0
        assert "Best degrees of freedom 44.0, at step 10" in self.course(
            tmp_path, readings(), scored, CONFIG | {"best_by": "dof"}
        ).text  # fmt: skip
        unlabelled = [row | {"code_map": None} for row in scored]
        assert "Best feature mAP 0.310, at step 20" in self.course(tmp_path, readings(), unlabelled).text
        nothing = [{"step": 10, "images": 5}]
        assert "Its evaluations have no figures." in self.course(tmp_path, readings(), nothing).text

    def test_nothing_recorded_is_nothing_judged(self, tmp_path):
        assert self.course(tmp_path, steps(0.5)).level == "note"

    def test_what_was_trained(self, tmp_path):
        run = read_run(write_run(tmp_path / "run", readings(40, resets=range(2, 40, 3)), config=CONFIG))
        assert about(run) == (
            "objective bits · 64 bits · conv · images demo (train) · 4 epochs · "
            "head reset at step 2, 5, 8, 11, 14, 17, 20, 23 and 5 more"
        )


class TestPage:
    def test_one_run(self, healthy, opened):
        write_run_report([healthy], healthy / "training.html")
        page = opened(healthy / "training.html")
        assert page.title() == page.locator("h1").inner_text() == "Training of healthy"
        words = page.locator("main").inner_text()
        assert course(read_run(healthy)).text in words
        last, best = readings()[-1], min(readings(), key=lambda row: row["loss"])
        assert re.search(rf"^loss\s+{last['loss']:.3f}\s+{best['loss']:.3f}\s+{best['step']} \(epoch ", words, re.M)
        assert re.search(r"^code mAP\s+0.300\s+0.310\s+20 \(epoch 2\)", words, re.M)
        assert re.search(
            r"^block entropy \(bits\)\s+7.04\s+7.04\s+10 \(epoch 1\)\s+near 7 of 8, never alone", words, re.M
        )
        headings = page.locator("figure h3").all_inner_texts()
        assert headings == [
            *("Loss and its terms", "Entropy, agreement and coding rate", "Degrees of freedom", "Retrieval"),
            *("Block entropy", "Dimensions of the features", "Learning rate", "Speed", "Waiting for data"),
        ]
        assert page.locator("figure figcaption").count() == len(headings)
        charts = page.locator(".js-plotly-plot")
        assert charts.count() == len(headings)
        for chart in charts.all():
            legend = chart.locator(".legendtext").all_text_contents()
            assert "head reset" in legend
            assert chart.locator(".xtitle").text_content() == "step (10 an epoch)"
            assert chart.locator(".ytitle").text_content()
            assert chart.locator(".shapelayer path, .shape-group path").count() >= 1
        assert "ln 2 = 0.693" in charts.first.locator(".legendtext").all_text_contents()
        boxes = [chart.bounding_box() for chart in charts.all()]
        assert all(box["width"] < 600 for box in boxes)  # two columns, none drawn over its neighbour
        assert "None." in page.locator("#alarms").inner_text()
        assert "900 images of demo (test)." in words
        assert "The median is 640, and the steps took about 2 seconds in all." in words
        assert not page.locator("pre").is_visible()
        page.get_by_text("healthy", exact=True).last.click()
        assert json.loads(page.locator("pre").text_content()) == CONFIG

    def test_several_runs(self, healthy, collapsed, tmp_path, opened):
        other = write_run(tmp_path / "other" / "healthy", readings(30), config=CONFIG | {"objective": "simdino"})
        write_run_report([healthy, collapsed, other], tmp_path / "compare.html", title="Three")
        page = opened(tmp_path / "compare.html")
        assert page.locator("h1").inner_text() == "Three"
        names = page.locator(".answer h3").all_inner_texts()
        assert names == [f"{tmp_path.name}/healthy", f"{tmp_path.name}/collapsed", "other/healthy"]
        swatches = page.locator(".answer .run").evaluate_all("all => all.map(one => one.style.background)")
        assert len(set(swatches)) == 3
        words = page.locator("main").inner_text()
        assert SPOKEN in page.locator("#alarms").inner_text()
        assert "The runs differ in objective, beta: their losses are not on one scale." in words
        differs = page.locator("section.names tbody tr").all_inner_texts()
        assert [row.split("\t") for row in differs] == [
            ["beta", "0.1", "0.0", "0.1"],
            ["objective", "bits", "bits", "simdino"],
            ["reset_every", "2", "0", "2"],
        ]
        assert re.search(r"code mAP\s+0.300\s+0.100\s+–\s", words)
        assert re.search(r"code mAP\s+0.310 \(step 20\)\s+0.200 \(step 10\)\s+–\s", words)
        first = page.locator(".js-plotly-plot").first.locator(".legendtext").all_text_contents()
        assert {*names, f"{names[0]}: head reset", f"{names[1]}: alarm"} <= set(first)
        assert (
            page.locator(".js-plotly-plot").count() == page.locator(".js-plotly-plot .main-svg .xtitle").count() == 17
        )

    def test_runs_evaluated_on_other_images_do_not_compare(self, healthy, tmp_path):
        def said(**more):
            other = write_run(tmp_path / "other", readings(), config=CONFIG | more)
            write_run_report([healthy, other], tmp_path / "compare.html")
            return "were evaluated on different images" in (tmp_path / "compare.html").read_text()

        assert said(evaluate_split="train")
        assert not said(split="test")  # the same images, though trained on others
        assert not said(beta=3)

    @pytest.mark.parametrize("kind", ["one reading", "missing keys", "no finite loss"])
    def test_odd_runs_have_a_page(self, kind, tmp_path, opened):
        rows, scored, config, words = {
            "one reading": (
                readings(1),
                [],
                CONFIG,
                "at step 1 of 40 (epoch 0.1). The BCE of the last reading is 0.690",
            ),
            "missing keys": (steps(0.5, 0.4), [{"step": 20, "code_map": 0.1}], None, "run/config.json: not there"),
            "no finite loss": (readings(loss=math.nan, skipped=1), evaluations(None, 0.2), CONFIG, "no finite loss"),
        }[kind]
        folder = write_run(tmp_path / "run", rows, scored, config)
        write_run_report([folder], folder / "t.html")
        page = opened(folder / "t.html")
        assert words in page.locator("main").inner_text()
        assert page.locator(".js-plotly-plot").count() == page.locator(".js-plotly-plot .xtitle").count() > 0
        assert page.locator("text=/nan/").count() == 0

    def test_a_long_run_is_thinned_and_says_so(self, tmp_path, opened):
        text = json.dumps(readings(1)[0] | {"step": 0})
        lines = [text.replace('"step": 0', f'"step": {i}') for i in range(1, 20_001)]
        lines[14_321] = lines[14_321].replace('"dof": 20.25', '"dof": 77.25')
        (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
        write_run_report([tmp_path], tmp_path / "t.html")
        assert (tmp_path / "t.html").stat().st_size < 8e6
        page = opened(tmp_path / "t.html")
        words = page.locator("main").inner_text()
        assert f"Each curve of {tmp_path.name} shows 2,000 of 20,000 readings, evenly spaced" in words
        assert re.search(r"degrees of freedom\s+20.2\s+77.2\s+14,322 ", words)  # the table is of all
        assert page.locator(".js-plotly-plot .xtitle").count() == 6

    def test_it_fits_a_phone(self, healthy, collapsed, tmp_path, opened):
        write_run_report([healthy, collapsed], tmp_path / "compare.html")
        page = opened(tmp_path / "compare.html", width=420)
        assert page.evaluate("document.documentElement.scrollWidth") == 420
        boxes = [chart.bounding_box() for chart in page.locator(".js-plotly-plot").all()]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 420 for box in boxes)

    def test_names_and_alarms_are_data_and_not_markup(self, tmp_path, opened):
        wild = "<img src=x onerror='window.hacked = 1'>"
        rows = readings(warning=f"{wild}</script><script>window.hacked = 1</script>")
        folders = [write_run(tmp_path / f"{wild}{i}", rows, [], CONFIG | {"data": wild, "w": i}) for i in range(2)]
        write_run_report(folders, tmp_path / "t.html", title=wild)
        page = opened(tmp_path / "t.html")
        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == 0
        assert page.locator("h1").inner_text() == wild
        assert page.locator(".legendtext").first.text_content() == f"{wild}0"


class TestCommand:
    def fails(self, capsys, code, *arguments):
        try:
            returned = main(["report", *map(str, arguments)])
        except SystemExit as stop:
            returned = stop.code
        said = capsys.readouterr()
        assert (returned, said.out) == (code, "")
        (line,) = said.err.splitlines()
        return line

    def test_one_run_is_written_into_its_folder(self, healthy, capsys):
        assert main(["report", str(healthy), "--title", "Mine"]) == 0
        assert capsys.readouterr().out == f"{healthy}/training.html\n"
        assert "<h1>Mine</h1>" in (healthy / "training.html").read_text()

    def test_a_run_that_holds_codes_too_is_a_run(self, healthy, tmp_path, capsys):
        from codelab import Codes

        Codes.from_bits(np.eye(9)).save(healthy / "codes.parquet")
        assert main(["report", str(healthy), "--out", str(tmp_path / "a.html")]) == 0
        assert "Training of healthy" in (tmp_path / "a.html").read_text()
        assert main(["report", str(healthy / "codes.parquet"), "--out", str(tmp_path / "b.html")]) == 0
        assert "<h1>codes.parquet</h1>" in (tmp_path / "b.html").read_text()

    def test_several_runs(self, healthy, collapsed, tmp_path, capsys):
        out = tmp_path / "new" / "compare.html"
        assert main(["report", str(healthy), str(collapsed), "--out", str(out)]) == 0
        assert capsys.readouterr().out == f"{out}\n"
        assert "collapsed: alarm" in out.read_text()

    def test_help_has_an_example_of_each(self, capsys):
        with pytest.raises(SystemExit):
            main(["report", "--help"])
        examples = capsys.readouterr().out.split("examples:")[1].split("\n")
        assert [line.strip() for line in examples if line.strip()] == [
            "codelab report runs/demo/codes.parquet --group emoji --out report.html",
            "codelab report runs/demo",
            "codelab report runs/a runs/b --out compare.html",
        ]

    def test_wrong_calls(self, healthy, collapsed, tmp_path, capsys):
        empty, codes = tmp_path / "empty", tmp_path / "codes.parquet"
        empty.mkdir()
        codes.write_bytes(b"")
        for arguments, message in (
            (
                [empty],
                f"{empty}: a folder without codes.parquet or other .parquet files, expected codes or a run folder",
            ),
            ([healthy, empty, "--out", tmp_path / "r.html"], f"{empty}: a folder without codes.parquet"),
            ([healthy, codes, "--out", tmp_path / "r.html"], f"report: {codes} is no run folder; expected one set of"),
            ([codes, codes, "--out", tmp_path / "r.html"], f"report: {codes} is no run folder; expected one set of"),
            (
                [healthy, "--split", "test"],
                f"report: --split, --by and --group go with codes, found the run folder {healthy}",
            ),
            ([healthy, "--by", "tone"], "report: --split, --by and --group go with codes"),
            ([healthy, "--group", "emoji"], "report: --split, --by and --group go with codes"),
            ([healthy, collapsed], "report: --out is needed with several runs, a name ending in .html"),
            ([codes], "report: --out is needed with codes, a name ending in .html"),
            ([healthy, healthy, "--out", tmp_path / "r.html"], f"{healthy}: given twice"),
            ([healthy, "--out", tmp_path / "r.pdf"], f"{tmp_path / 'r.pdf'}: expected a file name ending in .html"),
            ([healthy, "--out", empty], "a folder, expected the name of a file"),
            ([tmp_path / "none", "--out", tmp_path / "r.html"], f"{tmp_path / 'none'}: no such file"),
            ([], "the following arguments are required: CODES|RUN"),
        ):
            assert message in self.fails(capsys, 2, *arguments), arguments
        assert not list(tmp_path.rglob("*.html"))

    def test_files_that_cannot_be_read_fail_and_leave_nothing(self, healthy, capsys):
        path = healthy / "metrics.jsonl"
        path.write_text("")
        line = self.fails(capsys, 1, healthy)
        assert line == f"codelab: {path}: no reading yet, expected one JSON object a line"
        path.write_text('{"step": 1}\n{"step": 2, "loss": "x"}\n')
        assert "line 2 has loss 'x', expected a number" in self.fails(capsys, 1, healthy)
        assert not list(healthy.glob("*.html"))

    def test_from_python(self, healthy, tmp_path):
        with pytest.raises(UsageError, match=r"r.txt: expected a file name ending in .html"):
            write_run_report([healthy], tmp_path / "r.txt")
        (healthy / "metrics.jsonl").write_text("")
        with pytest.raises(DataError, match="no reading yet"):
            write_run_report([healthy], tmp_path / "r.html")
        assert not list(tmp_path.rglob("*.html"))
