"""Every page for every reader: nothing serious for axe-core, in both themes, and in a narrow window."""

from contextlib import suppress
from importlib.resources import files

import pytest
from playwright.sync_api import TimeoutError, expect

from tests.conftest import ROOT
from tests.support.browser import ready

SCREENS = sorted(path.stem for path in (ROOT / "app" / "screens").glob("[a-z]*.py"))
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
BACKGROUND = "() => getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
SERIOUS = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations
    .filter(violation => ["serious", "critical"].includes(violation.impact))
    .flatMap(violation => violation.nodes.map(node => `${violation.id}: ${node.html.slice(0, 200)} ${
      (node.any[0] || node.all[0] || node.none[0] || {}).message || ""}`));
}"""


def opened(browser, explorer, name, **options):
    page = browser.new_page(**options)
    page.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    page.goto(f"{explorer}/{'' if name == 'overview' else name}")
    expect(page.locator("[data-testid=stMain] h1")).to_be_visible()
    ready(page)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)  # tables and figures are loaded last
    page.wait_for_timeout(1000)  # a page may write its address and run once more
    ready(page)
    return page


@pytest.mark.parametrize("name", SCREENS)
def test_nothing_serious_in_either_theme(browser, explorer, name):
    page = opened(browser, explorer, name, color_scheme="light", viewport={"width": 1300, "height": 900})
    page.evaluate(AXE)
    found = {"light": page.evaluate(SERIOUS)}
    light = page.evaluate(BACKGROUND)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"({BACKGROUND})() !== {light!r}")
    ready(page)
    found["dark"] = page.evaluate(SERIOUS)
    page.close()
    assert found == {"light": [], "dark": []}


BROKEN_WORDS = """() => {
  const broken = [];
  for (const element of document.querySelectorAll("[data-testid=stMain] :is(p, h1, h2, h3, h4)")) {
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode()); )
      for (const word of node.data.matchAll(/[\\p{L}\\d.,%]+/gu)) {
        const range = document.createRange();
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1) broken.push(word[0]);
      }
  }
  return broken;
}"""

OVERLAPPING = """boxes => {
  const rects = boxes.map(box => box.getBoundingClientRect()).filter(box => box.width > 0);
  return rects.flatMap((a, i) => rects.slice(i + 1).filter(b =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1));
}"""

SIDEWAYS = """elements => elements.filter(e => e.scrollWidth > e.clientWidth).length"""

PICTURES = {"bit": 24, "retrieval": 49}
"""Pictures of a page, at least."""


@pytest.mark.parametrize("name", SCREENS)
def test_a_narrow_page_breaks_no_words_and_covers_no_pictures(browser, explorer, name):
    page = opened(browser, explorer, name, viewport={"width": 800, "height": 900})
    for width in (800, 500):
        page.set_viewport_size({"width": width, "height": 900})
        ready(page)
        with suppress(TimeoutError):  # columns find their width a moment after the page is there
            page.wait_for_function(f"({BROKEN_WORDS})().length === 0", timeout=10_000)
        assert page.locator("html, [data-testid=stMain]").evaluate_all(SIDEWAYS) == 0
        assert page.evaluate(BROKEN_WORDS) == []
        pictures = page.locator("button[data-row]")
        assert pictures.count() >= PICTURES.get(name, 0)
        assert pictures.evaluate_all(OVERLAPPING) == []
    page.close()
