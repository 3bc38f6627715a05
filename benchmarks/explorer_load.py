"""Claim: twenty people at one explorer read a page in seconds, because what one has seen is kept for all.

python benchmarks/explorer_load.py
python benchmarks/explorer_load.py --against ../other-checkout

A real server, and websocket clients that speak its protocol as a browser does, without drawing: each session opens the
overview, then bits and images by turns, and reads each page to its end before it asks for the next. With `--against`
the explorer of another checkout is measured in turn on the same codes, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

HERE = Path(__file__).parents[1]
sys.path.insert(0, str(HERE))

from tests.support.pictured import shapes  # noqa: E402


@contextmanager
def served(checkout: Path, codes: Path):
    """The address and the process of a running explorer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(checkout / "app/main.py"), "--server.port", str(port)]
    command += ["--server.headless", "true", "--server.fileWatcherType", "none", "--server.address", "127.0.0.1"]
    command += ["--", "--codes", str(codes)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=checkout)
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
                    break
                except OSError:
                    time.sleep(0.1)
            yield port, psutil.Process(server.pid)
        finally:
            server.terminate()
            server.wait(20)


@dataclass
class Shown:
    """One run of a page, to its end.

    Args:
        seconds: from the request to the last message.
        points: those of all charts.
        pictures: those of all galleries.
        announced: the words of spinners and bars.
        silence: the longest time without a message, seconds.
    """

    seconds: float = 0.0
    points: int = 0
    pictures: int = 0
    announced: list[str] = field(default_factory=list)
    silence: float = 0.0

    def add(self, message: bytes, delta: Delta) -> None:
        element = delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            raise RuntimeError(element.exception.message)
        if kind == "progress":
            self.announced.append(element.progress.text)
        self.announced += [one.spinner.text for one in delta.new_transient.elements if one.HasField("spinner")]
        if kind == "plotly_chart":
            self.points += sum(map(_points, json.loads(element.plotly_chart.spec)["data"]))
        self.pictures += message.count(b"data:image") if kind == "bidi_component" else 0


def _points(trace: dict[str, Any]) -> int:
    """Points that a trace of a Plotly figure draws; a heat map is one picture."""
    if not str(trace.get("type", "scatter")).startswith("scatter") or "markers" not in trace.get("mode", "markers"):
        return 0
    x = trace.get("x", ())
    return len(base64.b64decode(x["bdata"])) // np.dtype(x["dtype"]).itemsize if isinstance(x, dict) else len(x)


class Browser:
    """One session, which speaks the protocol of a browser and draws nothing."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self.connection = connection
        self.hashes: dict[str, str] = {}

    @classmethod
    @asynccontextmanager
    async def at(cls, port: int) -> AsyncIterator[Browser]:
        where = f"ws://127.0.0.1:{port}/_stcore/stream"
        async with websockets.connect(
            where, subprotocols=["streamlit"], max_size=None, ping_interval=None
        ) as connection:
            yield cls(connection)

    async def open(self, page: str, names: dict[str, object]) -> Shown:
        """Ask for a page by its address, and read it to its end."""
        ask = BackMsg()
        ask.rerun_script.query_string = urlencode(names)
        ask.rerun_script.page_script_hash = self.hashes.get(page, "")
        shown = Shown()
        start = last = time.perf_counter()
        await self.connection.send(ask.SerializeToString())
        while True:
            message = await self.connection.recv()
            now = time.perf_counter()
            shown.silence, last = max(shown.silence, now - last), now
            answer = ForwardMsg.FromString(message)
            kind = answer.WhichOneof("type")
            if kind == "navigation":
                self.hashes = {entry.url_pathname: entry.page_script_hash for entry in answer.navigation.app_pages}
            if kind == "delta":
                shown.add(message, answer.delta)
            if kind == "script_finished" and answer.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                shown.seconds = now - start
                return shown


async def session(port: int, number: int, pages: int, ids: list[str], bits: int, seconds: list[float]) -> None:
    """One person: the overview, then bits and images by turns."""
    chance = random.Random(number)
    async with Browser.at(port) as browser:
        for step in range(pages):
            page = "overview" if step == 0 else ("bits", "retrieval")[step % 2]
            names = {"bits": {"bit": chance.randrange(bits)}, "retrieval": {"item": chance.choice(ids)}}.get(page, {})
            seconds.append((await browser.open(page, names)).seconds)


def measure(checkout: Path, codes: Path, sessions: int, pages: int, ids: list[str], bits: int) -> None:
    with served(checkout, codes) as (port, server):

        async def crowd() -> list[float]:
            seconds: list[float] = []
            await asyncio.gather(*(session(port, i, pages, ids, bits, seconds) for i in range(sessions)))
            return seconds

        asyncio.run(session(port, -1, 3, ids, bits, []))  # compiles, measures
        used, start = sum(server.cpu_times()[:2]), time.perf_counter()
        seconds = asyncio.run(crowd())
        wall, cpu = time.perf_counter() - start, sum(server.cpu_times()[:2]) - used
        print(
            f"{checkout.name}: {sessions} sessions, {len(seconds)} pages, {len(seconds) / wall:.1f} pages/s, "
            f"median {np.median(seconds):.2f} s, p95 {np.quantile(seconds, 0.95):.2f} s, "
            f"{cpu / len(seconds):.3f} CPU-s a page, {server.memory_info().rss / 1e6:.0f} MB",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--codes", type=Path, help="default: 2,000 drawn pictures of 64 bits")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turn")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--pages", type=int, default=7, help="of each session (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.codes or Path(folder, "codes.parquet")
        if options.codes is None:
            shapes(2000, 64).save(path)
        from codelab import load

        codes = load(path)
        ids = codes.items["id"].to_pylist()
        for _ in range(options.rounds):
            for checkout in filter(None, (options.against, HERE)):
                measure(checkout.resolve(), path.resolve(), options.sessions, options.pages, ids, codes.bits)


if __name__ == "__main__":
    main()
