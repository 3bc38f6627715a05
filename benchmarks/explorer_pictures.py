"""A picture of every page of the explorer, as docs/explorer.md shows them.

codelab explore runs/demo/codes.parquet runs/demo/untrained.parquet
python benchmarks/explorer_pictures.py http://127.0.0.1:8501 docs/explorer
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Page, expect

from codelab.images.picture import open_picture
from tests.support.browser import chromium, ready

PAGES = {
    "overview": "",
    "bits": "bits",
    "bit": "bit",
    "classes": "classes?class=Flags",
    "retrieval": "retrieval?item=1F603",
    "image": "image?item=1F603",
    "map": "map",
    "query": "query?sel=where 33 %26 ~56",
    "compare": "compare",
    "run": "run",
}
"""Pages and what their addresses name."""
SIZE = {"width": 1300, "height": 1000}
COLOURS = 128
SECONDS = 150


def picture(page: Page, url: str, path: Path) -> None:
    """Open a page, wait until it is drawn, and keep what a window shows of it."""
    page.goto(url)
    expect(page.locator("[data-testid=stMain] h1")).to_be_visible()
    ready(page)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)  # tables and figures are loaded last
    page.wait_for_timeout(1500)  # figures fade in
    with open_picture(page.screenshot()) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)


def main() -> None:
    url, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=1000 * SECONDS)
    with chromium() as browser:
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.set_default_timeout(1000 * SECONDS)
        for name, address in PAGES.items():
            picture(page, f"{url}/{address}", folder / f"{name}.png")


if __name__ == "__main__":
    main()
