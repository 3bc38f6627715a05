"""Addresses reopen what was seen, in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import ready


@pytest.fixture
def page(browser):
    expect.set_options(timeout=60_000)
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)
    yield page
    page.close()


def test_the_overview_has_its_name_as_an_address(page, explorer):
    page.goto(f"{explorer}/overview?labels=shade")
    expect(page.get_by_role("heading", name="Is anything wrong with these codes?")).to_be_visible()
    ready(page)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("combobox", name="Labels")).to_have_value("shade")
    expect(page).to_have_url(re.compile(r"/\?.*labels=shade"))
    expect(page.get_by_test_id("stSidebarNav").get_by_role("link", name="Overview", exact=True)).to_have_count(1)
