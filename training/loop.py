"""A training run from images to encoder: steps, metrics, evaluations and checkpoints."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from codelab.core.errors import DataError, UsageError
from codelab.core.io import atomic_path, remove_unfinished
from codelab.core.run_folder import ENCODER
from codelab.core.signals import if_stopped, stop_signals, stopped
from codelab.images.encoder import read_encoder_config
from codelab.images.imageset import ImageSet
from codelab.runs.readings import BCE
from training import checkpoint, distributed
from training.config import TrainConfig
from training.data import Data, fingerprint
from training.display import Display
from training.folder import Log, locked, tensorboard
from training.monitor import health_line, warning
from training.parts import Parts, parts
from training.process import find_device, find_precision, needing_memory
from training.schedules import draw_warning, draw_weight, draw_words, is_reset_epoch
from training.score import HeldOut, read_held, score, score_line
from training.threads import threads_for
from training.trainer import Run

_FILES = (
    *("checkpoint.safetensors", "checkpoint-best.safetensors", "checkpoint-[0-9]*.safetensors"),
    *("best.safetensors", "encoder.safetensors", "untrained.safetensors", "before-reset-*.safetensors"),
    *("metrics.jsonl", "evaluation.jsonl", "unreadable.txt", "nonfinite.json", "tensorboard/events.out.tfevents.*"),
)
"""What a run writes, and `fresh` removes."""
_ECHO = 5.0
"""Seconds in which processes that share a batch take a second signal for the first one again."""


def fit(
    config: TrainConfig,
    *,
    images: ImageSet | None = None,
    resume: bool = False,
    fresh: bool = False,
    show: bool = True,
) -> Path:
    """Train an encoder; the teacher is the product. Under `torchrun` all processes share each batch.

    Args:
        config: what to do.
        images: train on these in place of `config.data`.
        resume: go on from the run's checkpoint where there is one.
        fresh: throw away an earlier run in the same folder, once the images are read and the networks are built.
        show: progress on stderr.

    Returns:
        The run folder: encoder.safetensors (the teacher), best.safetensors, checkpoint.safetensors, metrics.jsonl,
        evaluation.jsonl, config.json, and untrained.safetensors where the config asks for a control.

    Raises:
        UsageError: the folder holds a run and neither `resume` nor `fresh` is set, that run had another config, or
            another process trains in it.
        DataError: too few images or some unreadable, a checkpoint that cannot be used, a loss that is not finite,
            or too little memory; the message names the knob that helps.
        KeyboardInterrupt: SIGINT came, or SIGTERM (`Terminated`); the checkpoint was saved first.

    Example (about a minute of training, so it is not run as a test):
        fit(load_config("configs/demo.yaml", {"run": "runs/mine"}), resume=True)
    """
    folder = Path(config.run)
    device = find_device(config.device)
    config = replace(config, precision=find_precision(config.precision, device))
    go_on = _how_to_go_on(resume, fresh)
    distributed.start(device)
    first = distributed.rank() == 0
    try:
        with locked(folder) if first else nullcontext(), if_stopped(_kept_words(folder, fresh, go_on)):
            if first:
                remove_unfinished(folder)
            distributed.wait()
            saved, ended = (not fresh and (folder / name).exists() for name in (checkpoint.NEWEST, ENCODER))
            if ended and not (saved and resume):
                what = "already trained" if saved else f"holds {ENCODER} without its checkpoint"
                raise UsageError(f"{folder}: {what}; --fresh to redo, or change --run")
            if saved and not resume:
                raise UsageError(
                    f"{folder}: holds a run already; add --resume, or --fresh to throw it away, or change --run"
                )
            found = parts(config, images)
            if ended:
                known = None if config.skip_bad else fingerprint(found.train)  # some may have been left out
                checkpoint.check(folder / checkpoint.NEWEST, found.config, known)
                if show and first:
                    print(f"{folder}: already trained, --fresh to redo", file=sys.stderr)
                return folder
            if found.note and show and first:
                print(found.note, file=sys.stderr)
            _whole_run(found, folder, device, fresh=fresh, go_on=go_on, show=show and first)
            distributed.wait()
        return folder
    except RuntimeError as error:
        if distributed.left_alone(error):
            raise DataError(f"{folder}: another process of this run has ended, and this one with it") from None
        raise
    finally:
        distributed.stop()


def _clear(folder: Path) -> None:
    """Throw away an earlier run; every process is done with all that can fail before the first step."""
    distributed.wait()
    if distributed.rank() == 0:
        for path in [path for name in _FILES for path in folder.glob(name)]:
            path.unlink()
    distributed.wait()


def _kept_words(folder: Path, fresh: bool, go_on: str) -> Callable[[], str]:
    """What is kept where the run is stopped before its first step, or while its product is written."""
    newest = folder / checkpoint.NEWEST
    earlier = newest.stat().st_ino if fresh and newest.exists() else None

    def words() -> str:
        if not newest.exists():
            return "nothing was saved; the same call starts anew"
        if newest.stat().st_ino == earlier:
            return f"the earlier run in {folder} is as it was; the same call starts anew"
        return f"the last checkpoint stays in {folder}; {go_on}"

    return words


def _how_to_go_on(resume: bool, fresh: bool) -> str:
    """What a person does after an interruption: a call that resumes already is only repeated."""
    if not resume:
        return f"go on with --resume{' in place of --fresh' if fresh else ''}"
    return f"the same call{' without --fresh' if fresh else ''} goes on from there"


def _whole_run(found: Parts, folder: Path, device: torch.device, *, fresh: bool, go_on: str, show: bool) -> None:
    """From images to encoder.safetensors."""
    first, saved, config = distributed.rank() == 0, folder / checkpoint.NEWEST, found.config
    with needing_memory("the images", "lower store_size, or set store to stream"):
        data = Data(found.train, config, device, show=show)
    with needing_memory("the images of the evaluation", "lower evaluate_images or store_size"):
        held = read_held(found.held, config) if first and found.held is not None else None
    networks = "take a smaller backbone (conv: lower width), or lower hidden or prototypes"
    with needing_memory("the networks", networks):
        run = Run(config, data)
    with threads_for(run.student.encoder.backbone, config) as threads:
        if show:
            _print_what_runs(run, threads)
        if fresh:
            _clear(folder)
        with needing_memory("the networks", networks):
            if saved.exists():
                run.load(saved)
            elif first and config.control:  # as it is before the first step
                run.product({}).save(folder / "untrained.safetensors")
        if first:
            with atomic_path(folder / "config.json") as part:
                part.write_text(json.dumps(config.to_dict(), indent=1))
        step = f"a step of {config.batch} images" + (f" in {config.accumulate} parts" if config.accumulate > 1 else "")
        knobs = "lower local_views or batch"
        if not run.normed:
            knobs = f"double accumulate (the gradient stays that of the whole batch), or {knobs}"
        if config.backbone != "conv" and not config.checkpoint_activations:
            knobs = f"set checkpoint_activations, {knobs}"
        with needing_memory(step, knobs):
            run.prepare()
            train(run, folder, held, go_on=go_on, show=show)
        if first:
            run.product(run.provenance()).save(folder / ENCODER)
            if show:
                print(f"{folder}: {draw_words(run.draw_weight)}", file=sys.stderr)


def _print_what_runs(run: Run, threads: str) -> None:
    """What the run is and what its head resets will leave, and where its image size is not that of `init`."""
    config, own = run.config, run.student.encoder.config
    where = threads if run.device.type == "cpu" else str(run.device)
    network, data = f"{own.backbone}, {own.image_size} pixels, {own.bits} bits", f"{len(run.data):,} images"
    print(f"{config.run}: {network}, {data}, {run.steps:,} steps, {where}", file=sys.stderr)
    at_end = draw_weight(config, run.steps_per_epoch)
    print(f"{config.run}: at the end {draw_words(at_end)}", file=sys.stderr)
    if alarm := draw_warning(config, at_end):
        print(f"warning: {alarm}", file=sys.stderr)
    if config.init and (size := read_encoder_config(config.init).image_size) != config.image_size:
        print(f"{config.init}: trained at {size} pixels, here at {config.image_size} (image_size)", file=sys.stderr)


def train(run: Run, folder: Path, held: HeldOut | None, *, go_on: str, show: bool) -> None:
    """Every step that is left, with metrics, evaluations of `held` and checkpoints in `folder`.

    Args:
        go_on: how a person goes on after an interruption, for the message.

    Raises:
        DataError: the loss is not finite in more steps in a row than are tolerated.
        KeyboardInterrupt: SIGINT came, or SIGTERM (`Terminated`); all was saved first.
    """
    config, first = run.config, distributed.rank() == 0
    echo = _ECHO if distributed.world() > 1 else 0.0
    signals = stop_signals(go_on, quiet=not first, echo=echo)
    with Display(run.step, run.steps, show=show) as display, signals as signalled:
        watch = Watch(run, folder) if first else None
        started, start_step = time.perf_counter(), run.step
        for batch in run.data.steps(run.step, run.steps):
            epoch, place = divmod(run.step, run.steps_per_epoch)
            if place == 0 and is_reset_epoch(epoch, config.epochs, config.reset_every):
                if first and config.keep_resets:
                    run.product(run.provenance()).save(folder / f"before-reset-{run.step:08d}.safetensors")
                run.reset(epoch)
            run.train_step(epoch, batch)

            ended, last = run.step % run.steps_per_epoch == 0, run.step == run.steps
            reading = run.step % config.log_every == 0 or last
            stop = distributed.any_of(signalled() > 0)  # all processes stop at the same step
            evaluate = ended and config.evaluate_every > 0 and ((epoch + 1) % config.evaluate_every == 0 or last)
            save = stop or evaluate or last or (ended and (epoch + 1) % config.save_every == 0)
            if not (reading or save):
                continue

            values = run.monitor.read()
            seconds = time.perf_counter() - started
            values["images_per_second"] = (run.step - start_step) * config.batch / seconds
            values["data_wait"], run.data.waited = run.data.waited / seconds, 0.0
            if watch is not None:
                watch.note(values, display)
            check_finite(run, folder)
            unreadable = distributed.merge_words(run.data.unreadable) if save else {}
            if save and watch is not None:
                best = watch.evaluate(held, epoch, display) if evaluate and held is not None else False
                run.save(folder / checkpoint.NEWEST)
                checkpoint.keep(folder, run.step, config.keep_last, best=best)
                watch.note_unreadable(unreadable | (held.unreadable if held else {}), display)
            started, start_step = time.perf_counter(), run.step
            if stop:
                ended_by = signal.SIGTERM if distributed.any_of(signalled() == signal.SIGTERM) else signal.SIGINT
                raise stopped(ended_by, f"saved at step {run.step} of {run.steps}; {go_on}")


class Watch:
    """What the first process writes and prints: metrics, alarms, scores of the teacher."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.run, self.folder, self.alarmed = run, folder, False
        listed = folder / "unreadable.txt"
        self.unreadable = set(listed.read_text().splitlines()) if listed.exists() else set()
        board = tensorboard(folder, run.step) if run.config.tensorboard else None
        self.metrics = Log(folder / "metrics.jsonl", run.step, board)
        self.scores = Log(folder / "evaluation.jsonl", run.step, board)

    def at(self) -> dict[str, float]:
        return {"step": self.run.step, "epoch": self.run.step / self.run.steps_per_epoch}

    def note(self, values: dict[str, float], display: Display) -> None:
        """Write one reading of the metrics and show it; an alarm is printed once, when it begins."""
        run, config = self.run, self.run.config
        since_reset = run.step - (run.resets[-1] if run.resets else 0)
        epochs = min(2, config.reset_every / 2) if config.reset_every else 2
        settled = since_reset >= max(50, epochs * run.steps_per_epoch) and run.step > 2 * run.warmup
        alarm = warning(values, bce=config.objective in BCE) if settled else None
        if alarm and not self.alarmed:
            display.warn(f"step {run.step}: {alarm}")
        self.alarmed = alarm is not None
        rest = {
            "lr": run.optimizer.param_groups[0]["lr"],
            "resets": run.resets,
            "draw_weight": run.draw_weight,
            "warning": alarm,
        }
        self.metrics.write(self.at() | values | rest)
        epoch = -(-run.step // run.steps_per_epoch)
        display.update(run.step, f"{epoch}/{config.epochs}", health_line(values))

    def note_unreadable(self, reasons: dict[str, str], display: Display) -> None:
        """List the images that were left out, and print their number when it has grown."""
        if not self.unreadable.issuperset(reasons.values()):
            self.unreadable.update(reasons.values())
            with atomic_path(self.folder / "unreadable.txt") as part:
                part.write_text("".join(f"{reason}\n" for reason in sorted(self.unreadable)))
            what = "1 image" if len(self.unreadable) == 1 else f"{len(self.unreadable)} images"
            display.warn(f"{what} that cannot be read left out; unreadable.txt lists them")

    def evaluate(self, held: HeldOut, epoch: int, display: Display) -> bool:
        """Score the teacher on held-out images; whether it is the best so far, and kept."""
        run, config = self.run, self.run.config
        product = run.product(run.provenance())
        figures = score(product, held, run.views[:2], seed=config.seed, epoch=epoch)
        value = figures.get(config.best_by)
        best = value is not None and (run.best is None or value > run.best)
        if best:
            run.best = value
            product.save(self.folder / "best.safetensors")
        self.scores.write(self.at() | figures | {"best": best})
        display.note(f"epoch {epoch + 1}/{config.epochs}  {score_line(figures)}{', the best so far' * best}")
        return best


def check_finite(run: Run, folder: Path) -> None:
    """Stop a run whose gradient is not finite in more steps in a row than are tolerated.

    Raises:
        DataError: after writing the images of these batches to nonfinite.json.
    """
    bad = run.monitor.bad_run
    if len(bad) <= run.monitor.tolerated:
        return
    ids = run.data.images.items["id"]
    named = {step: [ids[i].as_py() for i in run.data.batch_of(step).tolist()] for step in bad}
    if distributed.rank() == 0:
        with atomic_path(folder / "nonfinite.json") as part:
            part.write_text(json.dumps(named, indent=1))
    raise DataError(
        f"{folder}: the loss is not finite in {len(bad)} steps in a row from step {bad[0]}; these "
        "steps were skipped, and their images are listed in nonfinite.json; lower lr or raise eps2"
    )
