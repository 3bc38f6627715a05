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
from playwright.sync_api import expect

from codelab.core.files import load
from codelab.measures.class_information import best_bits, class_information
from codelab.neighbours.search import search
from tests.support.browser import ready
from tests.support.pictured import exported, shapes

MAIN = Path(__file__).parents[2] / "app" / "main.py"
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
    expect(page.get_by_role("heading", name="Is anything wrong with these codes?")).to_be_visible()
    for title in ("Bit balance", "Bits in use", "Independent bits", "Block entropy", "Class in distances"):
        expect(page.get_by_text(title, exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("40 images · 16 bits")


def test_a_click_on_a_chart_opens_the_bit(page, address, folder):
    page.goto(f"{address}/?codes={folder / 'shapes.parquet'}")
    bar = page.locator(
        ".st-key-class_information .barlayer .point path"
    ).first  # the first trace: bit 3, alone beyond chance
    bar.scroll_into_view_if_needed()
    bar.click(force=True)
    expect(bit(page)).to_have_value("3")
    expect(page).to_have_url(re.compile(r"/bit\?.*bit=3"))


def click_cell(page, row, x=150):
    """Click into a row of the bit table, by default at its second column: the table is a canvas."""
    ready(page)
    table = page.get_by_test_id("stDataFrame").first
    expect(table.locator("canvas").first).to_be_visible()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    box, before = table.bounding_box(), None
    while box != before:  # what stands above it may still grow
        page.wait_for_timeout(300)
        box, before = table.bounding_box(), box
    page.mouse.click(box["x"] + x, box["y"] + 36 + 35 * row + 17)


def test_a_click_on_any_cell_opens_the_bit_and_back_leads_to_the_table(page, address, folder):
    first, second, third = map(str, best_bits(class_information(load(folder / "shapes.parquet")), 3))
    for row, name, x in ((1, second, 150), (0, first, 250), (2, third, 18)):  # the last on the box at the left
        page.goto(f"{address}/bits?codes={folder / 'shapes.parquet'}")
        expect(page.get_by_text("12 of 12 bits")).to_be_visible()
        click_cell(page, row, x)
        expect(bit(page)).to_have_value(name)
        expect(page).to_have_url(re.compile(rf"/bit\?.*bit={name}\b"))
        expect(page.get_by_text(f"logit of bit {name}", exact=True)).to_be_visible()
        assert painted(page) >= 24
    page.go_back()
    expect(page.get_by_text("12 of 12 bits")).to_be_visible()


def test_keys(page, address, folder):
    page.goto(f"{address}/bit?codes={folder / 'shapes.parquet'}&bit=5")
    expect(bit(page)).to_have_value("5")
    ready(page)
    page.keyboard.press("ArrowRight")
    expect(bit(page)).to_have_value("6")
    ready(page)
    page.keyboard.press("ArrowLeft")
    expect(bit(page)).to_have_value("5")
    ready(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("search")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    ready(page)
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("bit 11")
    page.keyboard.press("Enter")
    expect(bit(page)).to_have_value("11")
    ready(page)
    page.get_by_label("Search").fill("item-7")
    page.keyboard.press("Enter")
    expect(item(page)).to_have_value("item-7")
    ready(page)
    page.get_by_label("Search").fill("no such thing")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing is named 'no such thing' here.")).to_be_visible()


def test_a_related_bit_shows_its_card_and_opens(page, address, folder):
    page.goto(f"{address}/bit?codes={folder / 'codes.parquet'}&bit=5&part=related")
    link = page.locator(".st-key-related5 button").first
    expect(link).to_be_visible()
    ready(page)
    card = page.locator(".st-key-related5 .card").first
    expect(card).to_be_hidden()
    link.hover()
    expect(card).to_be_visible()
    expect(card).to_contain_text("phi")
    name = link.inner_text().split()[1]
    link.click()
    expect(bit(page)).to_have_value(name)


def test_back_and_forward_lead_from_act_to_act(page, address, folder):
    codes = f"codes={folder / 'shapes.parquet'}"
    page.goto(f"{address}/bit?{codes}&bit=5")
    expect(bit(page)).to_have_value("5")
    ready(page)
    page.get_by_role("button", name="Next").click()
    expect(bit(page)).to_have_value("6")
    ready(page)
    bit(page).fill("9")
    bit(page).press("Enter")
    expect(page.get_by_text("logit of bit 9")).to_be_visible()
    ready(page)
    page.get_by_role("link", name="Retrieval").click()
    expect(item(page)).to_have_value("item-0")
    ready(page)
    near = page.locator(".st-key-near button[data-row]")
    name = "item-" + near.nth(3).get_attribute("data-row")
    near.nth(3).click()
    expect(item(page)).to_have_value(name)
    ready(page)
    page.get_by_text("12", exact=True).click()
    expect(near).to_have_count(12)
    ready(page)
    link = page.get_by_role("link", name=re.compile(r"bit \d+")).first
    last = link.inner_text().split()[-1]
    link.click()
    expect(bit(page)).to_have_value(last)
    ready(page)

    page.go_back()
    expect(near).to_have_count(12)
    expect(item(page)).to_have_value(name)
    page.go_back()
    expect(near).to_have_count(24)
    page.go_back()
    expect(item(page)).to_have_value("item-0")
    for value in ("9", "6", "5"):
        page.go_back()
        expect(bit(page)).to_have_value(value)
        expect(page.get_by_text(f"logit of bit {value}", exact=True)).to_be_visible()
        expect(page).to_have_url(re.compile(rf"/bit\?.*bit={value}\b"))
        ready(page)
    page.go_forward()
    expect(bit(page)).to_have_value("6")
    expect(page.get_by_text("logit of bit 6")).to_be_visible()


def test_bits_next_then_an_image_leads_to_its_neighbours(page, address, folder):
    page.goto(f"{address}/bit?codes={folder / 'shapes.parquet'}&bit=5")
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
    page.goto(f"{address}/?codes={folder / 'shapes.parquet'}&labels=shade&group=twin")
    expect(page.get_by_text("Bits in use", exact=True)).to_be_visible()
    ready(page)
    page.get_by_role("link", name="Retrieval").click()
    expect(page.get_by_role("combobox", name="Labels")).to_have_value("shade")
    expect(page.get_by_text(re.compile("^class: (dark|light)$"))).to_be_visible()
    expect(page).to_have_url(re.compile(r"/retrieval\?(?=.*labels=shade)(?=.*group=twin)(?=.*codes=)"))
    ready(page)
    page.go_back()
    expect(page.get_by_text("Bits in use", exact=True)).to_be_visible()
    expect(page.get_by_role("combobox", name="Labels")).to_have_value("shade")


def test_back_leads_to_the_labels_and_groups_of_then(page, address, folder):
    page.goto(f"{address}/retrieval?codes={folder / 'shapes.parquet'}&item=item-4")
    labels, group = (page.get_by_role("combobox", name=name) for name in ("Labels", "Near copies share"))
    expect(page.get_by_text("The 24 nearest of 79")).to_be_visible()
    for box, value, url in ((labels, "shade", "labels=shade"), (group, "twin", "group=twin")):
        ready(page)
        box.click()
        page.get_by_role("option", name=value, exact=True).click()
        expect(box).to_have_value(value)
        expect(page).to_have_url(re.compile(url))
    expect(page.get_by_text("The 24 nearest of 78")).to_be_visible()
    ready(page)
    page.go_back()
    expect(group).to_have_value("none")
    expect(labels).to_have_value("shade")
    expect(page.get_by_text("The 24 nearest of 79")).to_be_visible()
    ready(page)
    page.go_back()
    expect(labels).to_have_value("the file's own")
    expect(page).not_to_have_url(re.compile("labels=|group="))


def test_the_server_has_nothing_to_complain_of(page, address, folder):
    page.goto(address)
    for name, last in (
        ("Bits", "Which bits say the same?"),
        ("One bit", "Within one class"),
        ("Retrieval", "Choose another image"),
        ("Overview", "How far apart codes lie"),
    ):
        page.get_by_role("link", name=name).click()
        expect(page.get_by_text(last)).to_be_visible()
        ready(page)
        if name == "Retrieval":
            before = item(page).input_value()
            page.locator(".st-key-near button[data-row]").first.click()
            expect(item(page)).not_to_have_value(before)
            ready(page)
    log = (folder / "server.log").read_text()
    assert "Uvicorn server started" in log
    assert not re.search(r"Traceback|most recent call last|Error", log), log
