"""Claim: the explorer is quick on 1.28 million codes of 256 bits with 100,000 thumbnails.

python benchmarks/explorer.py --folder runs/explorer
python benchmarks/explorer.py --folder runs/explorer --logits
python benchmarks/explorer.py --folder /tmp/small --images 20000 --thumbnails 2000

Makes the codes once, of 1,000 classes in 50 clusters, and keeps them in the folder. Then it starts the explorer twice,
first with an empty cache of results and then with the full one, and opens every page over the websocket as a browser
does. Printed beside the goals: the time to the first page, the time and the CPU time of the server for pages and
clicks, the memory of the process, what a second session adds, and how many points and pictures a page sends.
"""

import argparse
import asyncio
import io
import os
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from explorer_load import HERE, Browser, served
from PIL import Image

sys.path.insert(0, str(HERE))

from codelab import Codes

CLASSES, CLUSTERS = 1000, 50
STEP = 64_000
"""Images drawn at a time."""


def made(folder: Path, images: int, bits: int, thumbnails: int, logits: bool) -> Path:
    """The file of codes, drawn where it is not there yet."""
    path = folder / f"{images}x{bits}{'-logits' if logits else ''}.parquet"
    if path.exists():
        return path
    chance = np.random.default_rng(0)
    cluster_of = np.arange(CLASSES) % CLUSTERS
    means = 1.2 * chance.normal(size=(CLUSTERS, bits))[cluster_of] + chance.normal(size=(CLASSES, bits))
    means = (means + chance.normal(size=bits) * 0.5).astype(np.float32)
    labels = chance.integers(0, CLASSES, images)
    parts, kept = [], np.empty((images, bits) if logits else (0, bits), np.float16)
    for start in range(0, images, STEP):
        own = labels[start : start + STEP]
        values = means[own] + 1.5 * chance.standard_normal((len(own), bits), dtype=np.float32)
        parts.append(np.packbits(values > 0, axis=1, bitorder="little"))
        if logits:
            kept[start : start + STEP] = values
    items = pa.table(
        {
            "id": [f"img-{i:07d}" for i in range(images)],
            "cluster": pa.array([f"cluster-{c:02d}" for c in range(CLUSTERS)]).take(pa.array(cluster_of[labels])),
            "light": pa.array(["dark", "dim", "bright"]).take(pa.array(chance.integers(0, 3, images))),
            "thumbnail": _thumbnails(labels, thumbnails, chance),
        }
    )
    names = tuple(f"class-{c:04d}" for c in range(CLASSES))
    rest = {"logits": kept} if logits else {}
    folder.mkdir(parents=True, exist_ok=True)
    Codes(np.concatenate(parts), bits, labels=labels.astype(np.int32), classes=names, items=items, **rest).save(path)
    return path


def _thumbnails(labels: np.ndarray, count: int, chance: np.random.Generator) -> pa.Array:
    """A picture of 32 by 32 pixels for an even sample of the images: a colour of the class under noise."""
    colours = chance.integers(40, 215, (CLASSES, 3))
    pictures: list[bytes | None] = [None] * len(labels)
    for row in np.linspace(0, len(labels) - 1, min(count, len(labels))).astype(np.int64).tolist():
        pixels = colours[labels[row]] + chance.integers(-40, 40, (8, 8, 3))
        out = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).resize((32, 32)).save(out, "JPEG")
        pictures[row] = out.getvalue()
    return pa.array(pictures, pa.large_binary())


@dataclass
class Walk:
    """What one session saw of each page, with points and pictures; times are (seconds, CPU seconds).

    Args:
        first: of the page at first.
        fresh: of a click there to what nobody has seen yet.
        click: of the same click later, when what it shows is kept.
    """

    first: dict[str, tuple[float, float]] = field(default_factory=dict)
    fresh: dict[str, tuple[float, float]] = field(default_factory=dict)
    click: dict[str, tuple[float, float]] = field(default_factory=dict)
    points: Counter = field(default_factory=Counter)
    pictures: Counter = field(default_factory=Counter)


def views(codes: Codes) -> list[tuple[str, str, dict[str, object], dict[str, object]]]:
    """Name, page, and the address of the first visit and of a click there."""
    one, two = (str(codes.items["id"][row].as_py()) for row in (0, len(codes) // 2))
    parts = ("images", "classes", "meaning", "related", "pairs", "value", "where", "name")
    pages: list[tuple[str, str, dict[str, object], dict[str, object]]] = [
        ("overview", "overview", {}, {}),
        ("bits", "bits", {}, {"filter": "1"}),
        *((f"bit: {part}", "bit", {"bit": 3, "part": part}, {"bit": 4, "part": part}) for part in parts),
        ("classes", "classes", {"class": "class-0001"}, {"class": "class-0002"}),
        ("retrieval", "retrieval", {"item": one}, {"item": two}),
        ("retrieval, weights", "retrieval", {"item": one, "weights": "3:0"}, {"item": one, "weights": "3:2 4:0"}),
        ("image", "image", {"item": one}, {"item": two}),
        ("query", "query", {"sel": "where 3 & ~17"}, {"sel": "where 4 | 9"}),
        ("map", "map", {}, {"colour": "cluster"}),
        ("compare", "compare", {}, {}),
        ("run", "run", {}, {}),
    ]
    return pages


async def walk(browser: Browser, server: psutil.Process, pages: list, patience: float) -> Walk:
    """Opens each page and clicks there; then once more, as what a page measures is kept."""
    seen = Walk()
    for name, page, address, other in pages:
        for names, kept in ((address, seen.first), (other, seen.fresh), (address, {}), (other, seen.click)):
            used = sum(server.cpu_times()[:2])
            try:
                shown = await asyncio.wait_for(browser.open(page, names), patience)
            except TimeoutError:
                print(f"  {name}: gave up after {patience:.0f} s", flush=True)
                return seen
            kept[name] = (shown.seconds, sum(server.cpu_times()[:2]) - used)
            seen.points[name] = max(seen.points[name], shown.points)
            seen.pictures[name] = max(seen.pictures[name], shown.pictures)
        print(
            f"  {name:20} "
            + ", ".join(
                f"{words} {times[name][0]:6.2f} s (CPU {times[name][1]:5.2f})"
                for words, times in (("first", seen.first), ("fresh click", seen.fresh), ("click", seen.click))
            )
            + f", {seen.points[name]:6} points, {seen.pictures[name]:3} pictures, "
            f"{server.memory_info().rss / 1e6:5.0f} MB",
            flush=True,
        )
    return seen


def against(words: str, value: float, goal: float, unit: str, digits: int = 1) -> None:
    met = "met" if value <= goal else "MISSED"
    print(f"{words:58} {value:10.{digits}f} {unit:4} goal {goal:g} {unit}: {met}", flush=True)


def start(path: Path, pages: list, title: str, first_goal: float, patience: float, second: bool) -> None:
    print(f"\n{title}", flush=True)
    begun = time.perf_counter()
    with served(HERE, path) as (port, server):

        async def people() -> None:
            async with Browser.at(port) as one:
                shown = await asyncio.wait_for(one.open("overview", {}), 20 * 60)
                against("first page after the start of the process", time.perf_counter() - begun, first_goal, "s")
                print(f"  CPU {sum(server.cpu_times()[:2]):.1f} s; {len(shown.announced)} steps announced", flush=True)
                seen = await walk(one, server, pages, patience)
                used = server.memory_info().rss / 1e6
                if not second or not seen.click:
                    return
                for words, times in (("click", seen.click), ("fresh click", seen.fresh), ("page", seen.first)):
                    slow = max(times, key=times.__getitem__)
                    against(f"slowest {words} ({slow})", 1000 * times[slow][0], 500, "ms", 0)
                against("most points on a page", max(seen.points.values()), 50_000, "", 0)
                against("most pictures on a page", max(seen.pictures.values()), 60, "", 0)
                against("memory after every page", used / 1000, 3, "GB", 2)
                async with Browser.at(port) as other:
                    await walk(other, server, pages, patience)
                    against("memory that a second session adds", server.memory_info().rss / 1e6 - used, 50, "MB")

        asyncio.run(people())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--folder", type=Path, default=Path("runs/explorer"), help="where the codes are kept")
    parser.add_argument("--images", type=int, default=1_281_167)
    parser.add_argument("--bits", type=int, default=256)
    parser.add_argument("--thumbnails", type=int, default=100_000)
    parser.add_argument("--logits", action="store_true", help="float16 logits beside the codes")
    parser.add_argument("--full-only", action="store_true", help="keep the cache as it is, and start once")
    parser.add_argument(
        "--pages", help="only the pages whose names begin with one of these words, with commas between"
    )
    parser.add_argument("--patience", type=float, default=300, help="seconds for a page (default: %(default)s)")
    options = parser.parse_args()
    begun = time.perf_counter()
    path = made(options.folder, options.images, options.bits, options.thumbnails, options.logits).resolve()
    print(f"{path} {path.stat().st_size / 1e6:.0f} MB, {time.perf_counter() - begun:.0f} s", flush=True)
    from codelab import load

    codes = load(path)
    pages = views(codes)
    del codes
    if options.pages:
        pages = [page for page in pages if page[0].startswith(tuple(options.pages.split(",")))]
    cache = options.folder.resolve() / "cache"
    os.environ["CODELAB_CACHE"] = str(cache)
    if not options.full_only:
        shutil.rmtree(cache, ignore_errors=True)
        start(path, pages, "Empty cache of results", 60, options.patience, second=False)
    start(path, pages, "Full cache of results", 5, options.patience, second=True)


if __name__ == "__main__":
    main()
