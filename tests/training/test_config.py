"""The config: fields from YAML and flags, and one line naming the nearest key for what cannot be."""

import argparse
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import training
from codelab import UsageError
from training.config import TrainConfig, add_flags, field_docs, flags_given, load_config, published_words

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def write(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


class TestLoad:
    @pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
    def test_shipped_configs_load(self, path):
        assert load_config(path).epochs >= 1

    def test_values_become_the_types_of_their_fields(self, tmp_path):
        path = write(tmp_path, "lr: 1e-3\nbeta: 1\nblur: [0, 0, 1]\ncontrol: true\nbits: 64\n")
        config = load_config(path)
        assert (config.lr, config.beta, config.blur, config.control, config.bits) == (1e-3, 1.0, (0, 0, 1), True, 64)
        assert isinstance(config.beta, float)

    @pytest.mark.parametrize("text", ["on", "off", "'on'", "auto"])
    def test_yaml_s_on_and_off_are_words_here(self, tmp_path, text):
        config = load_config(write(tmp_path, f"blend: {text}\ncompile: {text}\n"))
        assert (config.blend, config.compile) == (text.strip("'"),) * 2

    def test_overrides_win_and_none_is_left_out(self, tmp_path):
        path = write(tmp_path, "beta: 0.1\nbits: 64")
        config = load_config(path, {"beta": "0.3", "local-views": "2", "jitter": "0.1,0.2,.3,0", "bits": None})
        assert (config.beta, config.local_views, config.jitter, config.bits) == (0.3, 2, (0.1, 0.2, 0.3, 0), 64)

    def test_a_round_trip_through_yaml(self, tmp_path):
        config = TrainConfig(beta=0.3, jitter=(0.1, 0, 0, 0), split="train")
        assert load_config(write(tmp_path, yaml.safe_dump(config.to_dict()))) == config

    @pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n"])
    def test_an_empty_file_is_refused(self, tmp_path, text):
        with pytest.raises(UsageError, match="an empty file"):
            load_config(write(tmp_path, text))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("betta: 1", "unknown key 'betta'; the nearest is 'beta'"),
            ("global_scales: [0.1, 1]", "the nearest is 'global_scale'"),
            ("lt: 1", "unknown key 'lt'; the nearest is 'lr'"),
            ("tma: 1", "unknown key 'tma'; the nearest is 'ema'"),
            ("nits: 8", "unknown key 'nits'; the nearest is 'bits'"),
            ("epochs: 9", "epochs is 9, expected warmup_epochs 10 or more"),
            ("epochs: 3\nwarmup_epochs: 3.5", "epochs is 3, expected warmup_epochs 3.5 or more"),
            (
                "accumulate: 2\nhead_norm: batch",
                "accumulate is 2, expected 1, as head_norm batch has a BatchNorm",
            ),
            (
                "accumulate: 2\nbackbone: conv",
                "accumulate is 2, expected 1, as the backbone conv has a BatchNorm",
            ),
            ("objective: [bits]", "objective is bits, expected bits|soft-bits"),
            ("beta: big", "beta is big, expected float"),
            ("beta: .nan", "beta is nan, expected float"),
            ("beta: .inf", "beta is inf, expected float"),
            ("batch: 2.5", "batch is 2.5, expected int"),
            ("batch: true", "batch is true, expected int"),
            ("bits: null", "bits is None, expected int"),
            ("backbone: 3", "backbone is 3, expected text"),
            ("control: maybe", "control is maybe, expected true|false"),
            ("jitter: [1, 2]", "jitter is 1,2, expected float,float,float,float"),
            ("jitter: 0.4", "jitter is 0.4, expected"),
            ("jitter: [0.4, 0.4, 0.4, 0.6]", "hue to 0.5"),
            ("batch: 1", "batch is 1, expected 2 or more"),
            ("beta: -1", "beta is -1.0, expected 0 or more"),
            ("eps2: 0", "eps2 is 0.0, expected more than 0"),
            ("ema: 1.5", "ema is 1.5, expected a number from 0 to 1"),
            ("local_scale: [0.4, 0.1]", "local_scale is 0.4,0.1, expected smallest, largest"),
            ("std: [1, 0, 1]", "std is 1.0,0.0,1.0, expected numbers above 0"),
            ("head_norm: layer", "head_norm is layer, expected none or batch"),
            ("device: tpu", "device is tpu, expected auto or cpu or cuda"),
            ("beta: 0.9\nbits: 8\nbeta: 0.1", "the key 'beta' is there twice"),
            ("local-views: 2\nlocal_views: 3", "the key 'local_views' is there twice"),
            ("save_every: .inf", "save_every is inf, expected int"),
            (f"tau: 1{400 * '0'}", "expected float"),
            ("blur_sigma: {0.3: 1, 0.9: 2}", "blur_sigma is {0.3: 1, 0.9: 2}, expected float,float"),
            ("seed: 18446744073709551616", "expected a number below 2^31"),
            ("backbone: true", "backbone is true, expected text"),
            ("- 1\n- 2", "expected a mapping of config keys, found list"),
            ("a: [", "not YAML"),
        ],
    )
    def test_what_cannot_be_is_said_in_one_line(self, tmp_path, text, message):
        with pytest.raises(UsageError) as error:
            load_config(write(tmp_path, text))
        assert message in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(UsageError, match=r"none\.yaml: No such file"):
            load_config(tmp_path / "none.yaml")


class TestPublished:
    @pytest.mark.parametrize(
        ("text", "flags", "expected"),
        [
            ("bits: 8", {}, (0.1, 1, 5e-5, 10)),
            ("objective: simdino", {}, (1, 3, 1e-6, 0)),
            ("objective: dino", {}, (0.1, 3, 1e-6, 0)),
            ("objective: simdino\nclip: 1\nreset_every: 5", {"min_lr": "2e-6"}, (1, 1, 2e-6, 5)),
            # the file's values were meant for its own objective
            ("beta: 0.5\nmin_lr: 1e-4\nreset_every: 6", {"objective": "simdino"}, (1, 3, 1e-6, 0)),
            ("beta: 0.5\nmin_lr: 1e-4", {"objective": "simdino", "beta": "0.4"}, (0.4, 3, 1e-6, 0)),
            ("objective: simdino\nbeta: 0.5\nmin_lr: 1e-4", {"objective": "bits"}, (0.1, 1, 5e-5, 10)),
            ("objective: simdino\nbeta: 0.5", {"objective": "simdino"}, (0.5, 3, 1e-6, 0)),
            ("beta: 0.5\nmin_lr: 1e-4", {"objective": "soft-bits"}, (0.5, 1, 1e-4, 10)),
        ],
    )
    def test_an_objective_brings_its_published_values_unless_they_are_set(self, tmp_path, text, flags, expected):
        config = load_config(write(tmp_path, text), flags)
        assert (config.beta, config.clip, config.min_lr, config.reset_every) == expected

    def test_the_command_says_what_a_flag_has_brought(self):
        config = load_config("demo", {"objective": "simdino", "clip": "2"})
        words = "objective simdino: beta 1, min_lr 1e-06, reset_every 0, as published"
        assert published_words(config, {"objective", "clip"}) == words
        assert published_words(config, {"clip"}) == ""
        assert published_words(load_config("demo", {"objective": "soft-bits"}), {"objective"}) == ""


def test_the_config_costs_no_torch():
    script = (
        "import sys, training.config; print('torch' in sys.modules);"
        "from training import fit_coder, TrainConfig; import training; print('torch' in sys.modules, dir(training))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names = ["HashCoder", "TrainConfig", "bit_bce", "bits_loss", "coding_rate", "fit", "fit_coder", "reset_head"]
    assert done.stdout == f"False\nTrue {names}\n"
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        training.fitt  # noqa: B018


class TestFlags:
    def parser(self):
        parser = argparse.ArgumentParser()
        add_flags(parser)
        return parser

    def test_every_field_has_documentation_and_a_flag(self):
        text = " ".join(self.parser().format_help().split())
        for field in dataclasses.fields(TrainConfig):
            assert field_docs()[field.name].endswith(".")
            assert f"--{field.name.replace('_', '-')} " in text

    def test_help_shows_the_choices_of_a_field(self):
        text = " ".join(self.parser().format_help().split())
        assert "--objective bits|soft-bits|cosine-bits|simdino|dino|hashcoder " in text
        assert "--device auto|cpu|cuda " in text
        assert "--rate-views global|all " in text
        assert "--precision auto|fp32|bf16|fp16 " in text
        assert "--best-by ''|entropy|" in text

    def test_a_switch_needs_no_value(self):
        for call in (["--skip-bad"], ["--skip-bad", "true"]):
            assert load_config(None, flags_given(self.parser().parse_args([*call, "--beta", "1"]))).skip_bad
        assert not load_config(None, flags_given(self.parser().parse_args(["--skip-bad", "false"]))).skip_bad

    def test_only_flags_that_were_given_count(self):
        given = self.parser().parse_args(["--beta", "0.3", "--local-views=0"])
        assert flags_given(given) == {"beta": "0.3", "local_views": "0"}
        assert load_config(None, flags_given(given)) == TrainConfig(beta=0.3, local_views=0)
