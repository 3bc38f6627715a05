"""Training images, whole: decoded and reduced once into memory, or in each epoch ahead of their use."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from codelab.core.arrays import even_rows
from codelab.core.errors import DataError, UsageError
from codelab.core.progress import counter
from codelab.images.imageset import ImageSet
from training import distributed, stream
from training.config import TrainConfig
from training.pictures import Pictures, reduced, to_device
from training.stream import Decoded, One

_LOOKED_AT = 32
"""Images decoded to estimate how much memory all of them take, and images whose bytes are part of a fingerprint: rows
of a Parquet file have no names that tell them apart."""


@dataclass
class Batch:
    """The share of a step's images that this process has: their numbers `[n]`, and their pixels.

    Pixels of one shape may be a tensor, uint8 `[n, 3, height, width]`.
    """

    index: Tensor
    pixels: Pictures | Tensor


class Data:
    """Training images in batches.

    An image in memory takes 3 bytes a pixel: at most 3 store_size² bytes, and less where it is smaller.

    Args:
        images: all of them.
        config: how they are kept.
        device: where batches go.
        show: a bar while images are read into memory.

    Raises:
        UsageError: they would take more memory than the config allows.
        DataError: there are fewer images than a batch, or some cannot be read; `details` lists those.
    """

    def __init__(self, images: ImageSet, config: TrainConfig, device: torch.device, *, show: bool = True) -> None:
        self.config, self.device = config, device
        self.waited = 0.0
        """Seconds in which the loop waited for images."""
        self.unreadable: dict[str, str] = {}
        """Images that could not be read and were left out: path -> reason."""
        _enough(images, config)
        self.images = images
        self.pixels: Pictures | None = None
        if config.store != "stream" and _fits(images, config):
            self.images, pixels, self.unreadable = load_pixels(images, config, show=show)
            self.pixels = replace(pixels, values=pixels.values.to(device))

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.images)

    @property
    def steps_per_epoch(self) -> int:
        return len(self) // self.config.batch

    def sample(self, most: int) -> Pictures:
        """An even sample of at most `most` images."""
        rows = torch.linspace(0, len(self) - 1, min(most, len(self))).long()
        if self.pixels is not None:
            return self.pixels[rows]
        with ThreadPoolExecutor(threads(self.config)) as pool:
            read = list(pool.map(self._read, rows.tolist()))
        return Pictures.of([one.pixels for one in read]).to(self.device)

    def steps(self, first: int, last: int) -> Iterator[Batch]:
        """The batches of the steps `first` to `last`, the share of this process in each."""
        if self.pixels is not None:
            for step in range(first, last):
                index = self.numbers(step)
                yield Batch(to_device(index, self.device), self.pixels[index])
            return
        decoded, stacker = self._decoded(first, last), ThreadPoolExecutor(1)
        ahead = deque([stacker.submit(self._next, decoded)])
        try:
            while True:
                ahead.append(stacker.submit(self._next, decoded))
                start = time.perf_counter()
                batch = ahead.popleft().result()
                self.waited += time.perf_counter() - start
                if batch is None:
                    return
                yield self._on_device(*batch)
        finally:
            stacker.shutdown(cancel_futures=True)

    def _decoded(self, first: int, last: int) -> Iterator[Decoded]:
        numbers = (self.numbers(step).tolist() for step in range(first, last))
        workers = threads(self.config)
        if self.device.type == "cuda" and stream.can_fork():
            return stream.by_processes(self._read, numbers, len(self.numbers(first)), workers)
        return stream.by_threads(self._read, numbers, workers)

    def _next(self, decoded: Iterator[Decoded]) -> tuple[Tensor, Pictures] | None:
        """The next batch on the CPU, in pinned memory where a GPU will copy it."""
        batch = next(decoded, None)
        if batch is None:
            return None
        self.unreadable |= batch.unreadable
        if self.device.type != "cuda":
            return batch.numbers, batch.pixels
        return batch.numbers.pin_memory(), replace(batch.pixels, values=batch.pixels.values.pin_memory())

    def _on_device(self, index: Tensor, pixels: Pictures) -> Batch:
        """The batch where it is used; a GPU copies it beside the work it still has, and not after it."""
        if self.device.type != "cuda":
            return Batch(index, pixels)
        now = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):
            index, values = to_device(index, self.device), to_device(pixels.values, self.device)
        now.wait_stream(self._copies)
        for copied in (index, values):
            copied.record_stream(now)  # its memory is not used again before the step is done
        return Batch(index, replace(pixels, values=values))

    @cached_property
    def _copies(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)

    def numbers(self, step: int) -> Tensor:
        """The numbers of this process's images in a step: each rank has a stretch of the batch."""
        return self.batch_of(step).chunk(distributed.world())[distributed.rank()]

    def batch_of(self, step: int) -> Tensor:
        """The numbers of all images of a step, a pure function of the seed and the step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return batches(len(self), self.config.batch, self.config.seed, epoch)[place]

    def _read(self, i: int) -> One:
        """The image, or where it cannot be read and may be left out, the next one that can."""
        unreadable: dict[str, str] = {}
        for j in [(i + k) % len(self) for k in range(len(self))]:
            try:
                return One(j, read_pixels(self.images, self.config.store_size, j), unreadable)
            except DataError as error:
                if not self.config.skip_bad:
                    raise DataError(f"{error}; --skip-bad (skip_bad) leaves such images out") from None
                unreadable[str(self.images.items["path"][j].as_py())] = str(error)
        raise DataError(f"{self.images.name}: none of its {len(self)} images can be read")


def fingerprint(images: ImageSet) -> str:
    """How many images there are, and a hash of their ids in order and of the bytes of a few, wherever they lie."""
    found = hashlib.sha256("\n".join(map(str, images.items["id"].to_pylist())).encode())
    for i in even_rows(len(images), _LOOKED_AT).tolist():
        with suppress(OSError):  # an image that cannot be read may have been left out
            found.update(images.read(i))
    return f"{len(images)} images {found.hexdigest()[:12]}"


def load_pixels(
    images: ImageSet, config: TrainConfig, *, show: bool = True
) -> tuple[ImageSet, Pictures, dict[str, str]]:
    """The images that can be read, with their pixels, and the others with the reason.

    Under several processes each reads its share, and all have all.

    Raises:
        DataError: one cannot be read and `skip_bad` is not set; too few are left.
    """
    _enough(images, config)
    n, mine = len(images), range(distributed.rank(), len(images), distributed.world())
    values = bytearray()  # it grows in place: the pixels are in memory once
    size = torch.zeros((n, 2), dtype=torch.int64)
    bad: dict[int, str] = {}

    def read(i: int) -> np.ndarray | str:
        try:
            return read_pixels(images, config.store_size, i)
        except DataError as error:
            return str(error)

    with (
        counter("reading images", len(mine), show=show) as advance,
        ThreadPoolExecutor(threads(config)) as pool,
    ):
        for i, found in zip(mine, pool.map(read, mine), strict=True):
            if isinstance(found, str):
                bad[i] = found
            else:
                size[i] = torch.tensor(found.shape[:2])
                values += found.data.cast("B")
            advance(1)
    bad = distributed.merge_words(bad)
    if bad and not config.skip_bad:
        raise DataError(
            f"{images.name}: {len(bad)} of {n} images cannot be read, the first: {bad[min(bad)]}; "
            "--skip-bad (skip_bad) leaves them out",
            details=[bad[i] for i in sorted(bad)],
        )
    if len(bad) == n:
        raise DataError(f"{images.name}: none of its {n} images can be read", [bad[i] for i in sorted(bad)])
    pixels = _of_all_processes(torch.from_numpy(np.frombuffer(values, np.uint8)), size, mine)
    if not bad:
        return images, pixels, {}
    kept = [i for i in range(n) if i not in bad]
    names = {str(images.items["path"][i].as_py()): bad[i] for i in sorted(bad)}
    images = images.subset(kept)
    _enough(images, config)
    return images, pixels[torch.tensor(kept)], names


def _of_all_processes(values: Tensor, size: Tensor, mine: range) -> Pictures:
    """All pictures, of which this process has read those of the numbers `mine`."""
    own = Pictures.laid_out(values, size[mine.start :: mine.step])
    if distributed.world() == 1:
        return own
    distributed.merge(size)
    everything = Pictures.laid_out(torch.zeros(int(3 * size.prod(1).sum()), dtype=torch.uint8), size)
    for place, i in enumerate(mine):
        everything.one(i).copy_(own.one(place))
    distributed.merge(everything.values)
    return everything


def read_pixels(images: ImageSet, size: int, i: int) -> np.ndarray:
    """Image i, whole, as uint8 `[height, width, 3]`; one of more than size² pixels is reduced to that area."""
    with images.opened(i) as image:
        return reduced(image, size)


@lru_cache(maxsize=2)
def batches(n: int, batch: int, seed: int, epoch: int) -> Tensor:
    """The image numbers of each step of an epoch, int64 `[steps, batch]`: a new order each epoch, the rest left out.

    Example:
        >>> list(batches(10, 4, 0, 0).shape)
        [2, 4]
    """
    order = np.random.default_rng([seed, epoch]).permutation(n)
    steps = n // batch
    return torch.from_numpy(order[: steps * batch].reshape(steps, batch))


def _fits(images: ImageSet, config: TrainConfig) -> bool:
    """Whether the images take no more memory than the config allows, judged by an even sample of them.

    Raises:
        UsageError: they take more, and the config wants them in memory.
    """
    size = config.store_size
    if len(images) * 3 * size * size / 1e9 <= config.memory_gb:
        return True
    taken = []
    for i in even_rows(len(images), _LOOKED_AT):
        with suppress(DataError):  # one that cannot be read is reported when all are read
            taken.append(read_pixels(images, size, int(i)).nbytes)
    need = len(images) * float(np.mean(taken)) / 1e9 if taken else 0.0
    if config.store == "memory" and need > config.memory_gb:
        raise UsageError(
            f"{images.name}: {len(images)} images at {size} pixels take about {need:.1f} GB, more than memory_gb "
            f"{config.memory_gb:g}; lower store_size, raise memory_gb, or set store to stream"
        )
    return need <= config.memory_gb


def _enough(images: ImageSet, config: TrainConfig) -> None:
    if len(images) < config.batch:
        hint = f"lower batch to {len(images)} or less" if len(images) > 1 else "training takes 2 images or more"
        what = f"{len(images)} image{'s' * (len(images) != 1)} to train on"
        raise DataError(f"{images.name}: {what}, fewer than a batch of {config.batch}; {hint}")


def threads(config: TrainConfig) -> int:
    """How many threads decode images."""
    return config.workers or os.cpu_count() or 1
