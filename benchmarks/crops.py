"""Claim: the crops of an image cost a core a quarter of what they cost with Pillow, with Pillow's antialiasing.

    python benchmarks/crops.py
    python benchmarks/crops.py --device cuda --batch 256

First the geometry alone (crop, flip, resize) as matrix products and as `grid_sample`, and how far each is from
Pillow's filter, in levels of 255. Plain `grid_sample` takes no mean over the pixels an output pixel covers: it
aliases. Several samples a pixel mend that, at their number's price. (The matrices' times hold their colour stage too.)
Then everything, with colours and blur.
A processor's times are CPU time on one thread, a GPU's are on the clock.
"""

import argparse
import dataclasses
import io
import statistics
import time
from collections.abc import Callable

import numpy as np
import plain_dino
import torch
from measure import load
from PIL import Image
from torch import Tensor
from torch.nn import functional
from training_step import photographs

from training.config import TrainConfig
from training.crops import View, multi_crop, uniforms, views
from training.data import read_pixels


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


def boxes(view: View, draws: Tensor) -> Tensor:
    """The box drawn, `[n, V, 4]` of left, top, width and height as shares of the side; width below 0 mirrors."""
    u = draws.unbind(-1)
    root = (view.scale[0] + (view.scale[1] - view.scale[0]) * u[0]).sqrt()
    stretch = view.ratio ** (u[1] - 0.5)
    height, width = ((root * s).clamp(max=1) for s in (1 / stretch, stretch))
    left, top = u[3] * (1 - width), u[2] * (1 - height)
    mirrored = u[4] < view.flip
    return torch.stack(
        [torch.where(mirrored, left + width, left), top, torch.where(mirrored, -width, width), height], -1
    )


def sampled(pixels: Tensor, box: Tensor, size: int, samples: int) -> Tensor:
    """Crop, flip and resize by `grid_sample`, a pixel the mean of samples² points: `[V, n, 3, size, size]`."""
    image, out = pixels.float() / 255, []
    for left, top, width, height in box.permute(1, 2, 0):
        zero = torch.zeros_like(left)
        across = torch.stack([width, zero, 2 * left + width - 1], 1)
        down = torch.stack([zero, height, 2 * top + height - 1], 1)
        shape = [len(pixels), 3, size * samples, size * samples]
        grid = functional.affine_grid(torch.stack([across, down], 1), shape, align_corners=False)
        made = functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
        out.append(functional.avg_pool2d(made, samples) if samples > 1 else made)
    return torch.stack(out)


def pillow(pixels: Tensor, box: Tensor, size: int) -> Tensor:
    """The same by Pillow's filter in floats: the reference for the eye."""
    side, planes = pixels.shape[-1], pixels.cpu().float().numpy() / 255
    out = np.empty((box.shape[1], len(pixels), 3, size, size), np.float32)
    for n, of_image in enumerate((box * side).tolist()):
        for v, (left, top, width, height) in enumerate(of_image):
            for c, plane in enumerate(planes[n]):
                place = (min(left, left + width), top, max(left, left + width), top + height)
                made = np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR, box=place))
                out[v, n, c] = made[:, ::-1] if width < 0 else made
    return torch.from_numpy(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    device, n = torch.device(options.device), options.batch
    torch.set_num_threads(1)
    config = TrainConfig()
    photos = photographs(n)
    pixels = torch.from_numpy(np.stack([read_pixels(photos, config.store_size, i) for i in range(n)])).to(device)
    drawn, index = views(config), torch.arange(n, device=device)
    groups = [(drawn[:2], uniforms(0, 0, index, torch.arange(2, device=device)))]
    groups.append((drawn[2:], uniforms(0, 0, index, torch.arange(2, len(drawn), device=device))))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    print(f"batch {n}, {name}, torch {torch.__version__}; {load()}")

    for some, draws in groups:
        size, box = some[0].size, boxes(some[0], draws)
        plain = [dataclasses.replace(view, jitter_p=0, grey_p=0, blur_p=0, solarise_p=0) for view in some]
        works = {
            "matrices, fp32": lambda plain=plain, draws=draws: multi_crop(pixels, plain, draws),
            "matrices, bf16": lambda plain=plain, draws=draws: multi_crop(
                pixels, plain, draws, precision=torch.bfloat16
            ),
            "grid_sample": lambda box=box, size=size: sampled(pixels, box, size, 1),
            "grid_sample, 2x2": lambda box=box, size=size: sampled(pixels, box, size, 2),
        }
        exact = pillow(pixels[:8], box[:8].cpu(), size)
        for what, spent in timed(works, device, options.times).items():
            error = 255 * (works[what]()[:, :8].cpu() - exact).abs().mean()
            print(
                f"crop, flip, resize, {len(some)} x {size}: {what}: {spent / n * 1e3:.3f} ms an image, "
                f"{error:.2f} levels from Pillow's filter"
            )

    plain_crops = plain_dino.MultiCrop(config)
    files = [photos.read(i) for i in range(n)]
    decoded = [photos.image(i) for i in range(n)]

    def everything(precision: torch.dtype) -> list[Tensor]:
        return [multi_crop(pixels, some, draws, precision=precision) for some, draws in groups]

    works = {
        "crops, matrices, fp32": lambda: everything(torch.float32),
        "crops, matrices, bf16": lambda: everything(torch.bfloat16),
    }
    on_a_core = {
        "crops, Pillow": lambda: [plain_crops(image) for image in decoded],
        "decode (500 x 375 JPEG)": lambda: [Image.open(io.BytesIO(file)).convert("RGB") for file in files],
        "decode and resize": lambda: [read_pixels(photos, config.store_size, i) for i in range(n)],
    }
    spent = timed(works, device, options.times) | timed(on_a_core, torch.device("cpu"), max(1, options.times // 2))
    for what, value in spent.items():
        print(f"everything, 2 x 224 + 8 x 96: {what}: {value / n * 1e3:.2f} ms an image")
    ratio = spent["crops, Pillow"] / spent["crops, matrices, bf16"]
    single = spent["crops, Pillow"] / spent["crops, matrices, fp32"]
    print(f"Pillow takes {ratio:.1f} times as long as bf16 matrices, {single:.1f} times as long as fp32; {load()}")


if __name__ == "__main__":
    main()
