"""Claim: crops are those of torchvision, by distribution and by pixels, and cost a core less than Pillow's.

    python benchmarks/crops.py
    python benchmarks/crops.py --device cuda --batch 256 --draws 0

First boxes and colours of `--draws` draws against RandomResizedCrop and ColorJitter: the distance of Kolmogorov and
Smirnov of each figure and its p-value. Then pixels: every stage with the numbers that were drawn, in torchvision's own
functions. Then times: crop, resize and flip alone, one crop at a time (as on a CPU) and all together as products of
matrices (as on a GPU), beside `grid_sample`, which takes no mean over the pixels an output pixel covers: it aliases.
Last everything, with colours and blur. A processor's times are CPU time on one thread, a GPU's are on the clock.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import plain_dino
import torch
from measure import load
from scipy import stats
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import InterpolationMode, RandomResizedCrop, v2
from torchvision.transforms.v2 import functional as reference
from training_step import photographs

from codelab.images.picture import open_picture
from training.colours import ORDERS, jitter
from training.config import TrainConfig
from training.crops import (
    Draws,
    View,
    augment,
    crop_boxes,
    cut_one_by_one,
    cut_together,
    multi_crop,
    uniforms,
    views,
)
from training.data import read_pixels
from training.pictures import Pictures


def timed(works: dict[str, Callable[[], object]], device: torch.device, times: int) -> dict[str, float]:
    """Median seconds of each; they take turns."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    spent: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(times + 1):
        for name, work in works.items():
            if device.type == "cuda":
                torch.cuda.synchronize()
            start = clock()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first one warms up
                spent[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in spent.items()}


def compare(what: str, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    """One line: how far two samples of each figure lie apart."""
    tests = {name: stats.ks_2samp(ours[name], theirs[name]) for name in ours}
    print(
        f"{what}: " + ", ".join(f"{name} D {t.statistic:.4f} p {t.pvalue:.2f}" for name, t in tests.items()),
        flush=True,
    )


def box_figures(boxes: np.ndarray, height: int, width: int) -> dict[str, np.ndarray]:
    """Place, area and aspect of boxes `[n, 4]`."""
    top, left, h, w = boxes.astype(float).T
    return {"top": top, "left": left, "area": h * w / (height * width), "aspect": w / h}


def compare_boxes(n: int) -> None:
    for scale, (height, width) in (((0.4, 1.0), (375, 500)), ((0.05, 0.4), (375, 500)), ((0.4, 1.0), (256, 256))):
        u = Draws.of(uniforms(0, 0, torch.arange(n), 0)[None])
        size = torch.tensor([[height, width]]).expand(n, 2)
        ours = crop_boxes(size, [View(size=8, scale=scale)], u)[0].numpy()
        torch.manual_seed(0)
        image = torch.empty(1, height, width)
        theirs = np.array([RandomResizedCrop.get_params(image, list(scale), [3 / 4, 4 / 3]) for _ in range(n)])
        figures = [box_figures(boxes, height, width) for boxes in (ours, theirs)]
        compare(f"{n:,} boxes, {height} x {width}, scale {scale}", *figures)
        area = " and ".join(f"{of['area'].mean():.4f}" for of in figures)
        full = " and ".join(f"{((b[:, 2] == height) | (b[:, 3] == width)).mean():.2%}" for b in (ours, theirs))
        print(f"  mean area {area}; a full side in {full} (ours and torchvision's)", flush=True)


def compare_colours(n: int, strength: tuple[float, ...]) -> None:
    image = torch.tensor([[0.9, 0.5], [0.3, 0.6], [0.1, 0.7]])[:, None]
    u = Draws.of(uniforms(0, 0, torch.arange(n), 0))
    amounts = torch.stack([u.brightness, u.contrast, u.saturation, u.hue], 1).mul(2).sub(1) * torch.tensor(strength)
    ours = image.repeat(n, 1, 1, 1)
    jitter(ours, torch.ones(n, dtype=torch.bool), (24 * u.order).long(), amounts)
    torch.manual_seed(0)
    change = v2.ColorJitter(*strength)
    theirs = torch.stack([change(image) for _ in range(n)])
    names = [f"{colour} of pixel {i}" for colour in ("red", "green", "blue") for i in (1, 2)]
    rounded = [made.flatten(1).T.numpy().round(4) for made in (ours, theirs)]  # a clamped value is 1 but for rounding
    figures = [dict(zip(names, values, strict=True)) for values in rounded]
    compare(f"{n:,} jitters {strength}", *figures)


def by_torchvision(image: Tensor, view: View, u: dict[str, Tensor], box: list[int]) -> Tensor:
    """One view `[3, size, size]` of an image `[3, height, width]`, by torchvision's functions of the numbers drawn."""
    image = reference.resized_crop(image, *box, [view.size, view.size], InterpolationMode.BICUBIC).float() / 255
    image = reference.horizontal_flip(image) if u["flip"] < view.flip else image
    if u["jitter"] < view.jitter_p:
        names = ("brightness", "contrast", "saturation", "hue")
        b, c, s, h = (float((2 * u[name] - 1) * most) for name, most in zip(names, view.jitter, strict=True))
        functions = (
            lambda x: reference.adjust_brightness(x, 1 + b),
            lambda x: reference.adjust_contrast(x, 1 + c),
            lambda x: reference.adjust_saturation(x, 1 + s),
            lambda x: reference.adjust_hue(x, h),
        )
        for change in ORDERS[int(24 * u["order"])]:
            image = functions[change](image)
    image = reference.rgb_to_grayscale(image, 3) if u["grey"] < view.grey_p else image
    if u["blur"] < view.blur_p:
        low, high = view.blur_sigma
        sigma = float(low + (high - low) * u["sigma"])
        image = reference.gaussian_blur(image, 2 * int(4 * sigma + 0.5) + 1, sigma)
    return torch.where(image > 0.5, 1 - image, image) if u["solarise"] < view.solarise_p else image


def compare_pixels(pictures: Pictures, drawn: list[View]) -> None:
    """How far our views are from torchvision's of the same numbers, in levels of 255."""
    for v, view in ((0, drawn[0]), (1, drawn[1]), (2, drawn[-1])):
        draws = uniforms(0, 0, torch.arange(len(pictures)), v)
        ours, u = augment(pictures, view, draws), Draws.of(draws[None])
        boxes = crop_boxes(pictures.size, [view], u)[0].tolist()
        errors = []
        for i, box in enumerate(boxes):
            one = {name: value[0, i] for name, value in u._asdict().items()}
            errors.append(255 * (ours[i] - by_torchvision(pictures.one(i)[0], view, one, box)).abs())
        sharp = [float(e.mean()) for e, b in zip(errors, u.blur[0], strict=True) if b >= view.blur_p]
        without = f"; of the {len(sharp)} without blur mean {statistics.mean(sharp):.5f}" if sharp else ""
        every = torch.stack(errors)
        print(
            f"pixels of {len(pictures)} views of {view.size}: mean difference {every.mean():.4f} levels, largest "
            f"{every.max():.3f}{without}",
            flush=True,
        )


def sampled(image: Tensor, boxes: Tensor, flipped: Tensor, size: int, samples: int) -> Tensor:
    """Crop, flip and resize by `grid_sample`, a pixel the mean of samples² points: `[V, n, 3, size, size]`.

    Args:
        image: float `[n, 3, H, W]`.
    """
    sides, out = torch.tensor(image.shape[2:], device=image.device), []
    for box, flip in zip(boxes, flipped, strict=True):
        (top, left), (height, width) = ((box[:, i : i + 2] / sides).unbind(1) for i in (0, 2))
        zero, across = torch.zeros_like(left), torch.where(flip, -width, width)
        grid = torch.stack(
            [
                torch.stack([across, zero, 2 * left + width - 1], 1),
                torch.stack([zero, height, 2 * top + height - 1], 1),
            ],
            1,
        )
        shape = [len(image), 3, size * samples, size * samples]
        points = functional.affine_grid(grid, shape, align_corners=False)
        made = functional.grid_sample(image, points, padding_mode="border", align_corners=False)
        out.append(functional.avg_pool2d(made, samples) if samples > 1 else made)
    return torch.stack(out)


def time_cuts(pictures: Pictures, groups: list[tuple[list[View], Tensor]], device: torch.device, times: int) -> None:
    """Crop, resize and flip alone, ways of doing it beside each other."""
    n = len(pictures)
    for some, draws in groups:
        size, u = some[0].size, Draws.of(draws.transpose(0, 1))
        boxes, flipped = crop_boxes(pictures.size.to(device), some, u), u.flip < 0.5
        image = pictures.canvas(torch.float32).transpose(1, 2).contiguous() / 255

        def together(precision: torch.dtype, boxes=boxes, flipped=flipped, size=size) -> Tensor:
            return cut_together(pictures, boxes, flipped, size, precision)

        def points(samples: int, image=image, boxes=boxes, flipped=flipped, size=size) -> Tensor:
            return sampled(image, boxes, flipped, size, samples)

        works: dict[str, Callable[[], Tensor]] = {
            "together, fp32": lambda run=together: run(torch.float32),
            "grid_sample": lambda run=points: run(1),
            "grid_sample, 2x2": lambda run=points: run(2),
        }
        if device.type == "cuda":
            works["together, bf16"] = lambda run=together: run(torch.bfloat16)
        else:
            works["one by one"] = lambda boxes=boxes, flipped=flipped, size=size: cut_one_by_one(
                pictures, boxes, flipped, size
            )
        exact = together(torch.float32)
        for what, spent in timed(works, device, times).items():
            error = 255 * (works[what]() - exact).abs().mean()
            print(
                f"crop, resize, flip, {len(some)} x {size}: {what}: {spent / n * 1e3:.3f} ms an image, "
                f"{error:.2f} levels from the filter in fp32",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--draws", type=int, default=60_000, help="draws compared with torchvision; 0: none")
    options = parser.parse_args()
    device, n = torch.device(options.device), options.batch
    torch.set_num_threads(1)
    config = TrainConfig()
    if options.draws:
        compare_boxes(options.draws)
        compare_colours(options.draws, config.jitter)
        compare_colours(options.draws, (0.6, 0.6, 0.8, 0.3))
    photos, drawn, index = photographs(n), views(config), torch.arange(n, device=device)
    pictures = Pictures.of([read_pixels(photos, config.store_size, i) for i in range(n)])
    if device.type == "cpu":
        compare_pixels(pictures, drawn)
    pictures = pictures.to(device)
    groups = [(drawn[:2], uniforms(0, 0, index, torch.arange(2, device=device)))]
    groups.append((drawn[2:], uniforms(0, 0, index, torch.arange(2, len(drawn), device=device))))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    print(f"batch {n}, {name}, torch {torch.__version__}; {load()}")
    time_cuts(pictures, groups, device, options.times)

    plain_crops = plain_dino.MultiCrop(config)
    files = [photos.read(i) for i in range(n)]
    decoded = [photos.image(i) for i in range(n)]
    precision = torch.bfloat16 if device.type == "cuda" else torch.float32
    works = {"ours": lambda: [multi_crop(pictures, some, draws, precision=precision) for some, draws in groups]}
    on_a_core = {
        "Pillow": lambda: [plain_crops(image) for image in decoded],
        "decode (500 x 375 JPEG)": lambda: [open_picture(file).convert("RGB") for file in files],
        "decode and reduce": lambda: [read_pixels(photos, config.store_size, i) for i in range(n)],
    }
    spent = timed(works, device, options.times) | timed(on_a_core, torch.device("cpu"), max(1, options.times // 2))
    for what, value in spent.items():
        print(f"everything, 2 x 224 + 8 x 96: {what}: {value / n * 1e3:.2f} ms an image")
    print(f"Pillow takes {spent['Pillow'] / spent['ours']:.1f} times as long; {load()}")


if __name__ == "__main__":
    main()
