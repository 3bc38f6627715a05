"""A served explorer: started by a command as a user types it, and stopped."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SECONDS = 120


@contextmanager
def serving(command: Sequence[str | Path], *, cwd: Path, path: str | None = None) -> Iterator[str]:
    """The address of an explorer that `command --port N` serves, once it answers.

    Args:
        command: without the port.
        cwd: where it runs.
        path: folders of commands, the present ones if None.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RANK")}
    environment |= {"STREAMLIT_SERVER_HEADLESS": "true", "STREAMLIT_SERVER_ADDRESS": "127.0.0.1"}
    if path is not None:
        environment["PATH"] = path
    with tempfile.TemporaryFile("w+") as log:
        words = [*map(str, command), "--port", str(port)]
        server = subprocess.Popen(words, cwd=cwd, stdout=log, stderr=log, env=environment)
        try:
            url = f"http://127.0.0.1:{port}"
            end = time.monotonic() + SECONDS
            while not _answers(f"{url}/_stcore/health"):
                if server.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise AssertionError(f"no explorer at {url}: {log.read()}")
                time.sleep(0.2)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False
