"""Signals at random moments, and two writers of one output: how many of so many tries end as promised.

    python benchmarks/fire/kills.py --tries 20 [--seed 0]

A try of a signal is right where the command ends with exit code 143 (SIGTERM) or 130 (three SIGINT), one line on
stderr, and no file but the finished parts of an export. A try of two exports is right where one is refused, and the
file is that of one encoder. Prints one line a kind: tries, right, done before the signal came.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import codelab
from codelab import Codes, Encoder
from codelab.images.encoder import EncoderConfig

CALLS = {
    "export": "export --ckpt {0}/1.safetensors --data {0}/in --out out/o.parquet",
    "binarize": "binarize {0}/x.npy --bits 64 --out out/o.parquet --save-coder out/o.npz",
    "report": "report {0}/c.parquet --out out/o.html",
    "analyze": "analyze {0}/c.parquet --out out/o.json --json",
}
LONGEST = 6.0
"""Seconds after which the signal comes, at most; drawn uniformly from the moment it is caught."""


def inputs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.normal(size=(20000, 96)).astype(np.float32))
    Codes.from_bits(rng.random((4000, 64)) > 0.5, labels=rng.integers(0, 10, 4000)).save(folder / "c.parquet")
    for seed in (1, 2):
        config = EncoderConfig(bits=64, image_size=32, width=16, hidden=64)
        Encoder(config, seed=seed).save(folder / f"{seed}.safetensors")
    (folder / "in").mkdir()
    for i in range(2100):
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(folder / "in" / f"{i:04d}.png")


def start(call: str, place: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "codelab", *call.split()]
    return subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def is_caught(process: subprocess.Popen[str]) -> bool:
    """Whether the process has come as far as its handler of SIGTERM."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def signalled(call: str, number: signal.Signals, times: int, after: float) -> bool | None:
    """Whether the command ended as promised; None where it was done before."""
    with tempfile.TemporaryDirectory() as name:
        process = start(call, Path(name))
        while process.poll() is None and not is_caught(process):
            time.sleep(0.002)
        time.sleep(after)
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.002)
        _, errors = process.communicate()
        if process.returncode == 0:
            return None
        left = [path.name for path in Path(name).rglob("*") if path.is_file() and not path.name.startswith("part-")]
        right = process.returncode == 128 + number and len(errors.splitlines()) == 1 and not left
        if not right:
            print(f"  {call.split()[0]} after {after:.2f} s: exit {process.returncode}, {errors!r}, left {left}")
        return right


def paired(folder: Path, after: float) -> bool:
    """Whether of two exports into one output one is refused, and the file is that of one encoder."""
    with tempfile.TemporaryDirectory() as name:
        first = start(CALLS["export"].format(folder), Path(name))
        time.sleep(after)
        second = start(CALLS["export"].format(folder).replace("1.safetensors", "2.safetensors"), Path(name))
        for process in (first, second):
            process.communicate()
        found = codelab.load(Path(name, "out", "o.parquet"))
        alone = Path(name, "alone")
        alone.mkdir()
        number = next(
            n for n in (1, 2) if Encoder.load(folder / f"{n}.safetensors").sha256 == found.meta["encoder"]["sha256"]
        )
        start(CALLS["export"].format(folder).replace("1.safetensors", f"{number}.safetensors"), alone).communicate()
        whole = codelab.load(alone / "out" / "o.parquet")
        return sorted((first.returncode, second.returncode)) == [0, 2] and whole.sha256 == found.sha256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--tries", type=int, default=20, help="of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp())
    try:
        inputs(folder)
        for number, times in ((signal.SIGTERM, 1), (signal.SIGINT, 3)):
            for name, call in CALLS.items():
                ends = [
                    signalled(call.format(folder), number, times, rng.uniform(0, LONGEST) * (i > 1))
                    for i in range(options.tries)
                ]
                right, done = ends.count(True), ends.count(None)
                words = f"{len(ends)} tries, {right} right, {done} done before"
                print(f"{times} {number.name} in {name}: {words}", flush=True)
        pairs = [paired(folder, rng.uniform(0, 1)) for _ in range(options.tries)]
        print(f"two exports into one output: {len(pairs)} tries, {pairs.count(True)} right")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
