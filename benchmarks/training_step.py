"""Claim: a training step with its crops takes half the time of a plain DINO-style loop on a GPU, 2/3 of it on a CPU.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --device cuda --backbone vit_small_patch16_224 --batch 256

Both sides have the same encoder, batch, crops, objective and images: JPEG files of 500 x 375 pixels cut out of
scikit-learn's two photographs, decoded anew each time. They take turns; a round starts after steps that use up what
loaders prepared in the pause. The plain loop (benchmarks/plain_dino.py) runs with the number of workers that suits it
best of those given. CPU seconds are of all threads and workers, and hardly depend on what else a machine does.
"""

import argparse
import io
import itertools
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import plain_dino
import pyarrow as pa
import torch
from measure import load
from PIL import Image
from sklearn.datasets import load_sample_images

from codelab.images.imageset import ImageSet
from codelab.images.sources import open_images
from training.config import TrainConfig
from training.data import Batch, Data
from training.losses import bits_loss
from training.process import find_device
from training.trainer import Run

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def photographs(n: int, *, seed: int = 0) -> ImageSet:
    """n JPEG files of 500 x 375 pixels, cut out of two photographs."""
    rng, photos = np.random.default_rng(seed), [Image.fromarray(photo) for photo in load_sample_images().images]
    files = []
    for i in range(n):
        photo = photos[i % len(photos)]
        width = rng.integers(300, photo.width)
        height = min(photo.height, width * 3 // 4)
        left, top = rng.integers(0, photo.width - width + 1), rng.integers(0, photo.height - height + 1)
        out = io.BytesIO()
        photo.resize((500, 375), box=(left, top, left + width, top + height)).save(out, "JPEG", quality=90)
        files.append(out.getvalue())
    items = pa.table({"id": [str(i) for i in range(n)], "path": [f"photograph {i}" for i in range(n)]})
    return ImageSet("photographs", items, np.full(n, -1, np.int32), (), files.__getitem__)


@dataclass
class Side:
    """A contestant and what was measured of it: seconds a step, on the clock and of CPU, and of waiting for images."""

    name: str
    step: Callable[[], object]
    prepared: Callable[[], int]
    waited: Callable[[], float]
    workers: Callable[[], list[int]]
    own: int = 0
    peak: int = 0
    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    wait: list[float] = field(default_factory=list)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def cpu_seconds(workers: list[int]) -> float:
    """CPU time of this process and its workers."""
    ticks = 0
    for pid in workers:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / 100


def round_of(side: Side, steps: int, warmup: int, device: torch.device) -> tuple[float, float, float]:
    """Mean seconds a step over one round: on the clock, of CPU, of waiting."""
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        others = torch.cuda.memory_allocated(device) - side.own
    for _ in range(side.prepared() + warmup):
        side.step()
    synchronise(device)
    clock, cpu, wait = time.perf_counter(), cpu_seconds(side.workers()), side.waited()
    for _ in range(steps):
        side.step()
    synchronise(device)
    if cuda:
        side.peak = max(side.peak, torch.cuda.max_memory_allocated(device) - others)
    parts = time.perf_counter() - clock, cpu_seconds(side.workers()) - cpu, side.waited() - wait
    return parts[0] / steps, parts[1] / steps, parts[2] / steps


def our_side(config: TrainConfig, images: ImageSet, device: torch.device) -> tuple[Side, Run]:
    run = Run(config, Data(images, config, device, show=False))
    run.prepare()
    batches = run.data.steps(0, 1 << 40)

    def step() -> None:
        run.train_step(run.step // run.steps_per_epoch, next(batches))
        if run.step % config.log_every == 0:
            run.monitor.read()

    ahead = 0 if run.data.pixels is not None else 4
    return Side("codelab", step, lambda: ahead, lambda: run.data.waited, list), run


def plain_side(loop: plain_dino.PlainLoop) -> Side:
    def workers() -> list[int]:
        return [process.pid for process in loop.loader._workers]

    return Side("plain loop", loop.step, lambda: loop.prepared, lambda: loop.waited, workers)


def middle(values: list[float]) -> str:
    """Median, and the smallest and largest."""
    return f"{statistics.median(values) * 1e3:.0f} ms ({min(values) * 1e3:.0f} to {max(values) * 1e3:.0f})"


def seconds(work: Callable[[], object], device: torch.device, times: int = 5) -> float:
    """Median CPU seconds of some calls; on a GPU, seconds on the clock."""
    spent = []
    for _ in range(times + 1):
        synchronise(device)
        start = time.perf_counter() if device.type == "cuda" else time.process_time()
        work()
        synchronise(device)
        spent.append((time.perf_counter() if device.type == "cuda" else time.process_time()) - start)
    return statistics.median(spent[1:])


def waits(step: Callable[[], object]) -> list[str]:
    """Where one step waits for the GPU."""
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        step()
    torch.cuda.set_sync_debug_mode("default")
    return [f"{Path(w.filename).name}:{w.lineno}" for w in found if "synchronizing" in str(w.message)]


def copies_beside_kernels(step: Callable[[], object], steps: int = 5) -> str:
    """How long copies to the GPU take in some steps, and which share of that a kernel runs as well."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        profile.export_chrome_trace(f"{folder}/trace.json")
        events = json.loads(Path(folder, "trace.json").read_text())["traceEvents"]
    spans = {kind: _spans(events, kind) for kind in ("gpu_memcpy", "kernel")}
    copies = [(a, b) for a, b, name in spans["gpu_memcpy"] if "HtoD" in name]
    ends: list[list[float]] = []  # times at which some kernel runs, without overlaps
    for start, end, _ in sorted(spans["kernel"]):
        if ends and start <= ends[-1][1]:
            ends[-1][1] = max(ends[-1][1], end)
        else:
            ends.append([start, end])
    shared = sum(max(0.0, min(b, d) - max(a, c)) for a, b in copies for c, d in ends)
    total = sum(b - a for a, b in copies)
    return f"{total / steps / 1e3:.2f} ms of copies to the GPU a step, {shared / max(total, 1e-9):.0%} beside kernels"


def _spans(events: list[dict[str, Any]], kind: str) -> list[tuple[float, float, str]]:
    """Start, end (microseconds) and name of a trace's events of one kind."""
    return [(e["ts"], e["ts"] + e["dur"], e["name"]) for e in events if e.get("cat") == kind]


def same_objective(config: TrainConfig) -> None:
    """Both sides compute one loss."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2 + config.local_views, config.batch, config.bits, generator=generator)
    teacher = torch.randn(2, config.batch, config.bits, generator=generator)
    ours = bits_loss(student, teacher, config.beta, config.eps2)
    theirs = plain_dino.bits_loss(student.unbind(), teacher.unbind(), config.beta, config.eps2)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--backbone", help="default: vit_tiny_patch16_224, on a GPU vit_small_patch16_224")
    parser.add_argument("--batch", type=int, help="default: 32, on a GPU 256")
    parser.add_argument("--image-size", type=int, help="side of the global crops; default: 128, on a GPU 224")
    parser.add_argument("--local-size", type=int, help="side of the local crops; default: 48, on a GPU 96")
    parser.add_argument("--local-views", type=int, default=8)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--data", help="images to use in place of the photographs")
    parser.add_argument("--store", default="stream", choices=("stream", "memory"), help="of our side")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"), help="of our side")
    parser.add_argument("--plain-precision", choices=tuple(_TYPES), help="default: fp32, on a GPU fp16 as published")
    parser.add_argument("--workers", type=int, nargs="+", help="of the plain loop; default: 1 2, on a GPU 10 16")
    parser.add_argument("--accumulate", type=int, default=1, help="parts of our step, where memory is short")
    parser.add_argument("--threads", type=int, help="of products in this process, for both sides; default: one a core")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="timed steps a round")
    parser.add_argument("--warmup", type=int, default=1, help="untimed steps a round, after those that drain loaders")
    options = parser.parse_args()
    device, cuda = find_device(options.device), options.device == "cuda"
    if options.threads:
        torch.set_num_threads(options.threads)
    image_size = options.image_size or (224 if cuda else 128)
    config = TrainConfig(
        backbone=options.backbone or ("vit_small_patch16_224" if cuda else "vit_tiny_patch16_224"),
        image_size=image_size,
        store_size=image_size * 8 // 7,
        local_size=options.local_size or (96 if cuda else 48),
        local_views=options.local_views,
        batch=options.batch or (256 if cuda else 32),
        accumulate=options.accumulate,
        store=options.store,
        precision=options.precision,
        device=options.device,
        log_every=50,
    )
    plain_precision = _TYPES[options.plain_precision or ("fp16" if cuda else "fp32")]
    same_objective(config)
    images = open_images(options.data) if options.data else photographs(max(options.images, config.batch))

    before = torch.cuda.memory_allocated(device) if cuda else 0
    ours, run = our_side(config, images, device)
    between = torch.cuda.memory_allocated(device) if cuda else 0
    choices = options.workers or ([10, 16] if cuda else [1, 2])
    loop = plain_dino.PlainLoop(config, images, device, choices[0], plain_precision)
    plain = plain_side(loop)
    if cuda:
        ours.own, plain.own = between - before, torch.cuda.memory_allocated(device) - between
    name = torch.cuda.get_device_name(device) if cuda else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{config.backbone}, batch {config.batch}, crops 2 x {config.image_size} + {config.local_views} x "
        f"{config.local_size}, {images.name}; {name}, torch {torch.__version__}; {load()}\n"
        f"codelab: {run.precision}, images from {config.store}; plain loop: {plain_precision}",
        flush=True,
    )

    trials = {}
    for workers in choices:
        if workers != loop.workers:
            loop.use(workers)
        trials[workers] = round_of(plain, options.steps, options.warmup, device)[0]
    best = min(trials, key=trials.__getitem__)
    if best != loop.workers:
        loop.use(best)
    tried = ", ".join(f"{workers}: {spent * 1e3:.0f} ms" for workers, spent in trials.items())
    print(f"workers of the plain loop and its step: {tried}; the match is with {best}", flush=True)

    for number, side in itertools.product(range(options.rounds), (ours, plain)):
        found = round_of(side, options.steps, options.warmup, device)
        for values, value in zip((side.clock, side.cpu, side.wait), found, strict=True):
            values.append(value)
        print(f"round {number + 1}, {side.name}: {found[0] * 1e3:.0f} ms a step; {load()}", flush=True)

    batch: Batch = next(run.data.steps(run.step, run.step + 1))
    crops = seconds(lambda: run.crops(0, batch), device)
    one = seconds(lambda: loop.data[0], torch.device("cpu"), times=20)
    for side in (ours, plain):
        memory = f", peak memory {side.peak / 1e9:.1f} GB" if cuda else ""
        print(
            f"{side.name}: {middle(side.clock)} a step, {config.batch / statistics.median(side.clock):.0f} images/s, "
            f"{middle(side.cpu)} of CPU, waiting for images {middle(side.wait)}{memory}"
        )
    share = crops / statistics.median(ours.clock if cuda else ours.cpu)
    print(
        f"crops: codelab {crops * 1e3:.0f} ms ({share:.0%} of it); plain loop {one * config.batch * 1e3:.0f} ms of "
        f"CPU a step with decoding, {1 / one:.0f} images/s a core"
    )
    if cuda:
        for side in (ours, plain):
            places = waits(side.step)
            print(f"{side.name}: {copies_beside_kernels(side.step)}")
            print(f"{side.name} waits for the GPU in a step {len(places)} times: {', '.join(sorted(set(places)))}")
    goal = 2 if cuda else 1.5
    clock = [b / a for a, b in zip(ours.clock, plain.clock, strict=True)]
    cpu = [b / a for a, b in zip(ours.cpu, plain.cpu, strict=True)]
    print(
        f"ratio: {statistics.median(clock):.2f}x on the clock ({min(clock):.2f} to {max(clock):.2f}), "
        f"{statistics.median(cpu):.2f}x by CPU time (goal {goal:g}x)"
    )


if __name__ == "__main__":
    try:
        main()
    except torch.OutOfMemoryError as error:
        raise SystemExit(f"out of memory, lower --batch for both sides ({str(error).splitlines()[0]})") from None
