"""Words of a file in a real browser, which makes links and signs of some words in spite of their backslashes."""

import sys

import numpy as np
import pyarrow as pa
import pytest

from app.widgets import WORD_JOINER, text
from codelab.core.codes import Codes
from tests.conftest import ROOT
from tests.support.browser import chromium, ready
from tests.support.served import serving

WORDS = (
    *("https://host.example/a", "see http://host.example", "www.host.example", "me@host.example"),
    *(":smile:", ":+1: and :material/home:", ":red[a] $a$ <b>b</b> &lt;i&gt;", "a -> b -- c <= d", "x ~= y"),
)
BROKEN = "line\n\n    indented\n===", "line indented ==="


def test_words_of_a_file_are_shown_letter_by_letter(tmp_path):
    items = pa.table({"id": [str(i) for i in range(10)], "split": [*WORDS, BROKEN[0]]})
    Codes.from_bits(np.eye(10), items=items).save(tmp_path / "c.parquet")
    command = [sys.executable, "-m", "codelab", "explore", tmp_path / "c.parquet"]
    with serving(command, cwd=ROOT) as url, chromium() as browser:
        page = browser.new_page()
        page.goto(f"{url}/query")
        page.get_by_role("heading", name="Which images have these bits?").wait_for()
        ready(page)
        side = page.get_by_test_id("stSidebar")
        shown = side.get_by_test_id("stCaptionContainer").first.inner_text().replace(WORD_JOINER, "")
        for words in (*WORDS, BROKEN[1]):
            assert words in shown, words
        links = page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
        assert [link for link in links if not link.startswith(url)] == []
        assert side.locator("pre, .katex, h1").count() == 0


@pytest.mark.parametrize("words", ["0.5", "class = cat", "3 & ~17", "codes.parquet: 3 images", "a-b", "mAP@ALL: 0.5"])
def test_no_more_is_added_than_that(words):
    assert text(words).replace("\\", "").replace(WORD_JOINER, "") == words
