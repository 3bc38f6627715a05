"""What the first page needs is imported in a thread, beside the reading of the codes."""

from __future__ import annotations

import threading
from functools import cache
from importlib import import_module


@cache
def import_ahead(module: str) -> None:
    """Import a module in a thread, once a process; whoever imports it meanwhile waits for the thread."""
    threading.Thread(target=import_module, args=(module,), daemon=True).start()
