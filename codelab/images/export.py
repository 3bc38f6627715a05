"""Images to codes through an encoder: in parts that survive a kill; an image left out is always reported."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError, first_line
from codelab.core.lock import output_lock
from codelab.core.progress import counter
from codelab.core.run_folder import encoder_file
from codelab.core.signals import if_stopped
from codelab.images.export_parts import Parts, check_free, check_place
from codelab.images.imageset import ImageSet
from codelab.images.statistics import NAMES, image_statistics

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from codelab.images.encoder import Encoder

THUMBNAIL = 96
"""Longest side of a stored thumbnail in pixels: sharp in a gallery, a few kilobytes."""

BATCH = 128
"""Images in one forward pass; parts hold whole batches, so a resumed export computes the same numbers."""

TRANSFORM = ("image_size", "mean", "std", "crop", "interpolation")
"""Fields of the encoder's config that prepare an image; they go into the provenance."""


@dataclass(frozen=True)
class Exported:
    """The result of an export: where the codes are, how many, and which images could not be read.

    `already` says that an earlier call with the same encoder, images and options had made them.
    """

    path: Path
    rows: int
    bad: tuple[str, ...]
    already: bool = False


def export(
    encoder: Encoder,
    images: ImageSet,
    out: str | Path,
    *,
    logits: bool = False,
    features: bool = False,
    thumbnails: bool = False,
    statistics: bool = False,
    skip_bad: bool = False,
    overwrite: bool = False,
    part_rows: int = 1024,
    workers: int = 4,
    device: str | None = None,
    progress: bool = True,
    checkpoint: str | Path | None = None,
) -> Exported:
    """Encode every image and write the codes to `out`, as one Parquet file (`….parquet`) or as a folder of parts.

    Parts of `part_rows` images are finished one by one in `OUT.parts`; when the export is killed and started again
    with the same encoder, images and options, finished parts are kept, and damaged ones are made again. The output
    appears only when all is done, and a call that repeats a finished export changes nothing.

    Args:
        encoder: the model; it is put in evaluation mode.
        images: what to encode.
        out: `….parquet`, or the name of a folder.
        logits: also keep the logits, float16 `[N, B]`.
        features: also keep the backbone's features, float32 `[N, d]`.
        thumbnails: also keep a picture of each image, at most 96 px, as WebP.
        statistics: also keep brightness, hue and other statistics of each image: see `codelab.images.statistics`.
        skip_bad: leave unreadable images out instead of failing.
        overwrite: replace an output that is there already.
        part_rows: images in a part.
        workers: threads that read and decode.
        device: where to run; default CUDA when there is one.
        progress: show a bar on stderr.
        checkpoint: the file or run folder that the encoder was loaded from, for the provenance.

    Raises:
        UsageError: the output is there already and was made from something else, the folder of its parts holds other
            files, or another process writes it.
        DataError: an image cannot be read and `skip_bad` is off (every such image is listed), none is left, or the
            model gives a number that is not finite.
    """
    from codelab.images.encoder import precision

    check_place(out)
    where = _device(device)
    encoder = encoder.to(where).eval()
    how = {"precision": precision(where)}
    kept = {"logits": logits, "features": features, "thumbnails": thumbnails, "statistics": statistics}
    options = {**kept, "batch": BATCH, **how}
    about = _provenance(encoder, images, checkpoint) | how
    work = Parts.of(images, Path(out), about, options, encoder.sha256, max(BATCH, part_rows // BATCH * BATCH))
    unread: list[str] = []
    with output_lock(work.out), if_stopped(work.words):
        known = work.already()
        if known is not None:
            _check_bad(images, known, skip_bad)
            return Exported(work.out, len(images) - len(known), (*images.left_out, *known), already=True)
        check_free(work.out, overwrite=overwrite)
        work.take_folder()
        with _threads(workers) as pool, counter("encoding", len(images), show=progress) as advance:
            for number, rows in enumerate(work.rows):
                found = work.finished(number)
                if found is None:
                    codes, found = _encode(encoder, images, rows, pool, options, advance)
                    codes.meta.update(about, bad=found)
                    work.write(number, codes)
                else:
                    advance(len(rows))
                unread += found
        if len(unread) == len(images):
            work.remove()
        _check_bad(images, unread, skip_bad, f" (finished parts are kept in {work.folder})")
        work.finish({"skipped": unread})
    return Exported(work.out, len(images) - len(unread), (*images.left_out, *unread))


def _check_bad(images: ImageSet, bad: list[str], skip_bad: bool, kept: str = "") -> None:
    """Refuse images that cannot be read, unless they are to be left out and some are left."""
    if len(bad) == len(images):
        raise DataError(f"{images.name}: none of {len(images)} images can be read", bad)
    if bad and not skip_bad:
        raise DataError(
            f"{images.name}: {len(bad)} of {len(images)} images cannot be read; mend them, or add --skip-bad{kept}",
            bad,
        )


@contextmanager
def _threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that an error does not wait for."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _provenance(encoder: Encoder, images: ImageSet, checkpoint: str | Path | None) -> dict[str, Any]:
    """Which encoder, preparation and images the codes come from."""
    path = str(encoder_file(checkpoint).resolve()) if checkpoint else None
    return {
        "encoder": {"name": encoder.config.backbone, "sha256": encoder.sha256, "path": path},
        "transform": {name: getattr(encoder.config, name) for name in TRANSFORM},
        "data": {"name": images.name, **({"attribution": images.attribution} if images.attribution else {})},
        **({"left_out": list(images.left_out)} if images.left_out else {}),
    }


def encode_images(
    encoder: Encoder,
    images: ImageSet,
    *,
    logits: bool = False,
    features: bool = False,
    statistics: bool = False,
    workers: int = 4,
    device: str | None = None,
    label: str = "encoding",
    progress: bool = True,
) -> Codes:
    """Codes of images in memory, without a file; the options are those of `export`.

    Raises:
        DataError: an image cannot be read, or the model gives a number that is not finite.
    """
    encoder = encoder.to(_device(device)).eval()
    options = {"logits": logits, "features": features, "thumbnails": False, "statistics": statistics}
    with ThreadPoolExecutor(workers) as pool, counter(label, len(images), show=progress) as advance:
        codes, bad = _encode(encoder, images, range(len(images)), pool, options, advance)
    if bad:
        raise DataError(f"{images.name}: {len(bad)} of {len(images)} images cannot be read", bad)
    return codes


def _device(name: str | None) -> torch.device:
    import torch

    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = first_line(error)
        raise UsageError(f"device {name!r}: cannot be used here ({reason})") from None
    return device


def _encode(
    encoder: Encoder,
    images: ImageSet,
    rows: range,
    pool: ThreadPoolExecutor,
    options: dict[str, Any],
    advance: Callable[[int], None],
) -> tuple[Codes, list[str]]:
    """Codes of one part, and a line for each image that could not be read."""
    import torch

    good: list[int] = []
    bad: list[str] = []
    about: list[dict[str, Any]] = []
    all_logits: list[np.ndarray] = []
    all_features: list[np.ndarray] = []
    for numbers, loaded in _loaded(encoder, images, rows, pool, options):
        bad += [str(item) for item in loaded if isinstance(item, DataError)]
        fine = [(i, item) for i, item in zip(numbers, loaded, strict=True) if not isinstance(item, DataError)]
        advance(len(numbers))
        if not fine:
            continue
        batch_features, batch_logits = encoder.encode(torch.stack([tensor for _, (tensor, _) in fine]))
        for (i, _), row in zip(fine, batch_logits, strict=True):
            if not np.isfinite(row).all():
                raise DataError(f"{images.items['path'][i]}: the encoder's logits are not finite numbers")
        all_logits.append(batch_logits)
        if options["features"]:
            all_features.append(batch_features)
        good += [i for i, _ in fine]
        about += [columns for _, (_, columns) in fine]
    values = np.concatenate(all_logits) if all_logits else np.zeros((0, encoder.config.bits), dtype=np.float32)
    items = images.items.take(pa.array(good, pa.int64()))
    for name in _columns(options):
        kind = pa.large_binary() if name == "thumbnail" else pa.float32()
        items = items.append_column(name, pa.array([columns[name] for columns in about], kind, from_pandas=True))
    codes = Codes.from_bits(
        values > 0,
        labels=images.labels[good],
        classes=images.classes,
        items=items,
        logits=values if options["logits"] else None,
        features=_stack(all_features, encoder) if options["features"] else None,
    )
    return codes, bad


def _loaded(
    encoder: Encoder, images: ImageSet, rows: range, pool: ThreadPoolExecutor, options: dict[str, Any]
) -> Iterator[tuple[range, list[Any]]]:
    """Batches of (tensor, item columns) or DataError; the next batch is decoded while this one is encoded."""

    def load_one(i: int) -> Any:
        try:
            with images.opened(i) as image:
                columns: dict[str, Any] = {"thumbnail": _thumbnail(image)} if options["thumbnails"] else {}
                columns |= image_statistics(image) if options["statistics"] else {}
                return encoder.transform(image), columns
        except DataError as error:
            return error

    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    ahead: list[list[Future[Any]]] = []
    for number, batch in enumerate(batches):
        while len(ahead) < 2 and number + len(ahead) < len(batches):
            ahead.append([pool.submit(load_one, i) for i in batches[number + len(ahead)]])
        yield batch, [future.result() for future in ahead.pop(0)]


def _columns(options: dict[str, Any]) -> tuple[str, ...]:
    """Names of the item columns that an export adds."""
    return (*(("thumbnail",) if options["thumbnails"] else ()), *(NAMES if options["statistics"] else ()))


def _stack(blocks: list[np.ndarray], encoder: Encoder) -> np.ndarray:
    return np.concatenate(blocks) if blocks else np.zeros((0, encoder.features), dtype=np.float32)


def _thumbnail(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    small.save(out, "WEBP", quality=85)
    return out.getvalue()
