"""The explorer in a real browser: a served app, Chromium, and a person's clicks."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from browser import chromium
from pictured import exported, shapes
from playwright.sync_api import expect

from codelab.classes import class_information
from codelab.files import load
from codelab.retrieval import search
from codelab.verdict import best_bits

MAIN = Path(__file__).parents[1] / "app" / "main.py"
WAIT = 60_000  # the first page of a server compiles and measures, on a busy machine


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawn pictures, their encoder and their codes."""
    folder = tmp_path_factory.mktemp("served")
    exported(folder)
    shapes().save(folder / "shapes.parquet")
    (folder / "broken.parquet").write_bytes(b"PAR1")
    return folder


@pytest.fixture(scope="module")
def address(folder):
    """The address of a running explorer on these codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(MAIN), "--server.port", str(port)]
    command += ["--server.address", "127.0.0.1", "--server.headless", "true", "--server.fileWatcherType", "none"]
    command += ["--browser.gatherUsageStats", "false", "--", "--codes", str(folder / "codes.parquet")]
    log = (folder / "server.log").open("w")
    server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
                break
            except OSError:
                assert server.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(WAIT)
    page.errors = []
    page.outside = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda request: page.outside.append(request.url))
    expect.set_options(timeout=WAIT)
    yield page
    assert not page.errors
    assert page.locator("[data-testid=stException]").count() == 0
    assert {u for u in page.outside if not u.startswith(("http://127.0.0.1", "data:", "blob:"))} == set()
    page.close()


def ready(page):
    """Wait until the page is drawn to its end."""
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_attached()
    expect(page.locator("[data-stale=true]")).to_have_count(0)


def painted(page):
    """Wait until every picture on the page has pixels; how many there are."""
    ready(page)
    pictures = page.locator("button[data-row] img")
    expect(pictures.first).to_be_visible()
    for picture in pictures.all():
        assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 0
    return pictures.count()


def notes(page, key):
    return page.locator(f".st-key-{key} button .note").all_inner_texts()


def item(page):
    return page.get_by_label("Id of the image")


def bit(page):
    return page.get_by_role("spinbutton", name="Bit")


def test_overview_answers_with_figures(page, address):
    page.goto(address)
    expect(page.get_by_role("heading", name="Is the code healthy?")).to_be_visible()
    for title in ("Bit balance", "Bits in use", "Independent bits", "Block entropy", "Class in distances"):
        expect(page.get_by_text(title, exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("40 images · 16 bits")


def test_a_click_on_a_chart_opens_the_bit(page, address, folder):
    page.goto(f"{address}/?codes={folder / 'shapes.parquet'}")
    bar = page.locator(
        ".st-key-information .barlayer .point path"
    ).first  # the first trace: bit 3, alone beyond chance
    bar.scroll_into_view_if_needed()
    bar.click(force=True)
    expect(bit(page)).to_have_value("3")
    expect(page).to_have_url(re.compile(r"/bits\?.*bit=3"))


def test_bits_table_row_opens_its_bit(page, address, folder):
    second = str(best_bits(class_information(load(folder / "shapes.parquet")), 2)[1])
    page.goto(f"{address}/bits?codes={folder / 'shapes.parquet'}&bit=5")
    expect(bit(page)).to_have_value("5")
    expect(page.get_by_text("logit of bit 5")).to_be_visible()
    assert painted(page) >= 24
    box = page.get_by_test_id("stDataFrame").bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 36 + 35 + 17)  # the box of the second row: the table is a canvas
    expect(page.get_by_text("2nd of 12")).to_be_visible()
    expect(bit(page)).to_have_value(second)
    expect(page).to_have_url(re.compile(rf"bit={second}\b"))
    expect(page.get_by_text(f"logit of bit {second}", exact=True)).to_be_visible()


def test_bits_next_then_an_image_leads_to_its_neighbours(page, address, folder):
    page.goto(f"{address}/bits?codes={folder / 'shapes.parquet'}&bit=5")
    expect(bit(page)).to_have_value("5")
    page.get_by_role("button", name="Next").click()
    expect(bit(page)).to_have_value("6")
    first = page.locator(".st-key-one-6 button[data-row]").first
    name = "item-" + first.get_attribute("data-row")
    first.click()
    expect(page.get_by_role("heading", name="What lies near an image?")).to_be_visible()
    expect(item(page)).to_have_value(name)
    expect(page.get_by_text("as ties fall")).to_be_visible()
    assert painted(page) == 1 + 24 + 24


def test_retrieval_by_clicks_on_galleries(page, address, folder):
    codes = load(folder / "codes.parquet")
    ids = codes.items["id"].to_pylist()
    page.goto(f"{address}/retrieval?item=disc/3.png")
    expect(item(page)).to_have_value("disc/3.png")
    expect(page.get_by_text("as ties fall")).to_be_visible()
    assert painted(page) == 1 + 24 + 24
    others = [i for i in range(len(codes)) if ids[i] != "disc/3.png"]
    found = search(codes[others], codes[[ids.index("disc/3.png")]], k=24)
    assert [int(note.split()[0]) for note in notes(page, "near")] == found.distances[0].tolist()
    fifth = page.locator(".st-key-near button[data-row]").nth(4)
    name = fifth.locator(".caption").inner_text()
    assert name == ids[others[found.indices[0][4]]]
    fifth.click()
    expect(item(page)).to_have_value(name)
    other = page.locator(".st-key-choose button[data-row]").last
    name = other.locator(".caption").inner_text()
    other.click()
    expect(item(page)).to_have_value(name)
    expect(page).to_have_url(re.compile(re.escape(name.split("/")[1])))
    page.reload()
    expect(item(page)).to_have_value(name)


def test_a_differing_bit_leads_to_its_page(page, address, folder):
    page.goto(f"{address}/retrieval?codes={folder / 'shapes.parquet'}&item=item-9")
    link = page.get_by_role("link", name=re.compile(r"bit \d+")).first
    name = link.inner_text().split()[-1]
    link.click()
    expect(bit(page)).to_have_value(name)


def test_upload_finds_the_image_itself(page, address, folder):
    page.goto(f"{address}/retrieval")
    page.get_by_text("an image of yours").click()
    page.locator("input[type=file]").set_input_files(folder / "pictures" / "disc" / "7.png")
    expect(page.locator(".st-key-query .caption")).to_have_text("7.png")
    expect(page.locator(".st-key-near .note").first).to_have_text("0")
    assert painted(page) == 25


def test_a_wrong_file_is_one_line_and_a_way_out(page, address, folder):
    page.goto(f"{address}/?codes={folder / 'broken.parquet'}")
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("not a whole Parquet file")
    expect(page.get_by_text("make demo", exact=True)).to_be_visible()
    page.get_by_role("textbox", name="Codes").fill(str(folder / "shapes.parquet"))
    page.get_by_role("textbox", name="Codes").press("Enter")
    expect(page.get_by_text("Bits in use", exact=True)).to_be_visible()
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("80 images · 12 bits")


def test_labels_by_an_attribute_stay_from_page_to_page(page, address, folder):
    page.goto(f"{address}/?codes={folder / 'shapes.parquet'}&labels=shade")
    expect(page.get_by_text("Bits in use", exact=True)).to_be_visible()
    ready(page)
    page.get_by_role("link", name="Retrieval").click()
    expect(page.get_by_role("combobox", name="Labels")).to_have_value("shade")
    expect(page.get_by_text(re.compile("^class: (dark|light)$"))).to_be_visible()
    expect(page).to_have_url(re.compile("labels=shade"))
