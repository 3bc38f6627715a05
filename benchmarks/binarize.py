"""Claim: a million features of 768 numbers become codes within 4 GB of memory; the time, beside FAISS's ITQ.

    python benchmarks/binarize.py

Every contestant is a process of its own on the same float32 .npy file, mapped, never loaded. The peak is the kernel's
high-water mark of that process; mapped pages of the file count in it. FAISS learns from at most 10 rows a dimension
by default, and once more from as many rows as ITQ is given here; its PCA sees no others, where ours sees all.
Kept neighbours: the share of the 10 nearest of 20,000 rows (cosine about the mean) among the 100 nearest codes.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import load

from codelab import Codes, binarize, search
from codelab.features.binariser import METHODS
from codelab.features.coder import BLOCK

SAMPLE = 50_000


def make_features(path: Path, n: int, d: int) -> None:
    """Features with a spectrum that falls, around a mean that is not zero."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(d, d)) / np.sqrt(d) * (1 + np.arange(d)[:, None]) ** -0.7
    mixing, mean = mixing.astype(np.float32), rng.normal(size=d).astype(np.float32)
    with path.open("wb") as file:
        head = {"descr": "<f4", "fortran_order": False, "shape": (n, d)}
        np.lib.format.write_array_header_1_0(file, head)
        for start in range(0, n, BLOCK):
            rows = rng.standard_normal((min(BLOCK, n - start), d), dtype=np.float32)
            file.write((rows @ mixing + mean).tobytes())


def ours(path: Path, bits: int, method: str) -> tuple[float, float, np.ndarray]:
    start = time.perf_counter()
    coder = binarize(path, bits, method=method, sample=SAMPLE, progress=False)
    fitted = time.perf_counter()
    packed = coder.encode(path)
    return fitted - start, time.perf_counter() - fitted, packed


def faiss_itq(path: Path, bits: int, sample: int | None) -> tuple[float, float, np.ndarray]:
    import faiss

    features = np.load(path, mmap_mode="r")
    start = time.perf_counter()
    transform = faiss.ITQTransform(features.shape[1], bits, True)
    if sample is not None:
        transform.max_train_per_dim = -(-sample // features.shape[1])
    # FAISS would copy the file to draw its rows: hand it the rows it asks for
    count = min(len(features), transform.max_train_per_dim * features.shape[1])
    index = np.sort(np.random.default_rng(0).choice(len(features), count, replace=False))
    transform.train(np.ascontiguousarray(features[index]))
    fitted = time.perf_counter()
    blocks = (np.ascontiguousarray(features[s : s + BLOCK]) for s in range(0, len(features), BLOCK))
    packed = np.concatenate([np.packbits(transform.apply(block) > 0, axis=1) for block in blocks])
    return fitted - start, time.perf_counter() - fitted, packed


def kept_neighbours(path: Path, packed: np.ndarray, bits: int) -> float:
    rows = np.load(path, mmap_mode="r")[:20_000].astype(np.float64)
    rows -= rows.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = rows[:200] @ rows.T
    np.fill_diagonal(cosine, -2)
    nearest = np.argpartition(-cosine, 10, axis=1)[:, :10]
    codes = Codes(packed[:20_000], bits)
    found = search(codes, codes[:200], k=101).indices
    return float(np.mean([np.isin(near, got).mean() for near, got in zip(nearest, found, strict=True)]))


def contest(name: str, path: Path, bits: int) -> None:
    """One contestant, in the process that is measured: a line of JSON."""
    used = time.process_time()
    if name in METHODS:
        fit, encode, packed = ours(path, bits, name)
    else:
        fit, encode, packed = faiss_itq(path, bits, None if name == "faiss" else SAMPLE)
    cpu = time.process_time() - used
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1e6
    kept = kept_neighbours(path, packed, bits)
    print(json.dumps({"fit": fit, "encode": encode, "cpu": cpu, "peak": peak, "kept": kept}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--d", type=int, default=768)
    parser.add_argument("--bits", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1, help="more than there are free cores slow all down")
    parser.add_argument("--contest", help=argparse.SUPPRESS)
    parser.add_argument("--features", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contest:
        contest(options.contest, options.features, options.bits)
        return
    print(f"N = {options.n:,} x {options.d}, {options.bits} bits, {options.threads} threads; {load()}", flush=True)
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(options.threads))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.npy"
        make_features(path, options.n, options.d)
        for name in (*METHODS, "faiss", f"faiss {SAMPLE:,} rows"):
            command = [
                sys.executable,
                __file__,
                "--contest",
                name,
                "--features",
                str(path),
                "--bits",
                str(options.bits),
            ]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | limits)
            one = found[name] = json.loads(done.stdout)
            print(
                f"{name:18} fit {one['fit']:6.1f} s, encode {one['encode']:5.1f} s, together "
                f"{one['fit'] + one['encode']:6.1f} s ({one['cpu']:.0f} s of CPU), peak {one['peak']:.2f} GB, "
                f"kept neighbours {one['kept']:.3f}; {load()}",
                flush=True,
            )
    itq = found["itq"]
    for name in ("faiss", f"faiss {SAMPLE:,} rows"):
        peer = found[name]
        wall = (peer["fit"] + peer["encode"]) / (itq["fit"] + itq["encode"])
        print(
            f"{name} takes {wall:.2f} times as long as itq on the clock, {peer['cpu'] / itq['cpu']:.2f} times the CPU"
        )


if __name__ == "__main__":
    main()
