"""What people come for, each in at most three clicks or keys from the overview."""

import re

import pytest
from playwright.sync_api import expect

from codelab.core.files import load
from codelab.images.encoder import Encoder
from codelab.images.imageset import decode
from codelab.semantics.exemplars import exemplars
from codelab.semantics.names import read_ledger
from tests.support.browser import ready
from tests.support.pictured import TWINS

MOST = 3
"""Clicks and keys."""


class Hand:
    """A person's hand: it counts what it does."""

    def __init__(self, page):
        self.page, self.acts = page, 0

    def click(self, what):
        ready(self.page)
        what.click()
        self.acts += 1

    def go_to(self, title):
        self.click(self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True))

    def drag(self, corners):
        ready(self.page)
        self.page.mouse.move(*corners[0])
        self.page.mouse.down()
        for x, y in corners[1:]:
            self.page.mouse.move(x, y, steps=4)
        self.page.mouse.up()
        self.acts += 1


@pytest.fixture(scope="module")
def context(browser):
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    return context


@pytest.fixture
def page(context, explorer):
    page = context.new_page()
    page.goto(explorer)
    expect(page.get_by_text("Against random directions", exact=True)).to_be_visible()
    yield page
    page.close()


@pytest.fixture
def hand(page):
    hand = Hand(page)
    yield hand
    assert 1 <= hand.acts <= MOST


@pytest.fixture(scope="module")
def codes(planted_folder):
    return load(planted_folder / "codes.parquet")


def bit(page):
    return page.get_by_role("spinbutton", name="Bit")


def shown_rows(page, key):
    buttons = page.locator(f".st-key-{key} button[data-row]")
    expect(buttons.first).to_be_visible()
    ready(page)
    return [int(button.get_attribute("data-row")) for button in buttons.all()]


def test_the_most_informative_bit(hand, page):
    hand.click(page.get_by_role("link", name="The most informative bit"))
    expect(bit(page)).to_have_value("3")
    expect(page.get_by_text("1st of 24")).to_be_visible()


def test_the_images_at_its_threshold(hand, page, codes):
    hand.go_to("One bit")
    expect(bit(page)).to_have_value("3")
    expected = exemplars(codes, 3, count=8).threshold.tolist()
    assert shown_rows(page, "threshold-3") == expected
    assert expected == sorted(expected, key=lambda row: codes.logits[row, 3])


def test_its_name(hand, page, planted_folder):
    hand.go_to("One bit")
    hand.click(page.get_by_text("Name", exact=True))
    hand.click(page.get_by_role("button", name="Score and keep it"))
    expect(page.get_by_text("Kept in codes.names.json")).to_be_visible()
    (one,) = read_ledger(planted_folder / "codes.names.json")
    assert (one.bit, one.state, one.phi) == (3, "tested", 1.0)
    assert one.name in ("class = bar", "class = disc")


def test_bits_that_classes_share(hand, page, codes):
    hand.click(page.get_by_role("link", name="Bits that vary in several classes"))
    expect(page.get_by_role("combobox", name="Bits")).to_have_value("those that vary in most classes first")
    hand.click(page.get_by_test_id("stDataFrame").first)  # a row in the middle
    expect(bit(page)).not_to_have_value("3")  # the one that tells the classes apart varies in none
    chosen = int(bit(page).input_value())
    shares = [codes.to_bits()[codes.labels == label, chosen].mean() for label in range(2)]
    assert all(0.2 <= share <= 0.8 for share in shares)


def test_two_classes_side_by_side(hand, page):
    hand.go_to("Classes")
    expect(page.get_by_text("Bits that differ most")).to_be_visible()
    expect(page.get_by_role("combobox", name=re.compile("^(bar|disc) and$"))).to_have_value(re.compile("bar|disc"))


def test_near_copies(hand, page, codes):
    hand.go_to("Retrieval")
    hand.click(page.get_by_test_id("stMain").get_by_role("button", name="Near copies"))
    item = page.get_by_label("Id of the image")
    ids = [codes.items["id"][row].as_py() for row in TWINS]
    expect(item).to_have_value(re.compile(f"^({'|'.join(ids)})$"))
    other = TWINS[1 - ids.index(item.input_value())]
    expect(page.locator(".st-key-near button[data-row]").first).to_have_attribute("data-row", str(other))
    assert page.locator(".st-key-near .note").first.inner_text().startswith("0 ")


def test_the_code_of_an_image_of_ones_own(hand, page, planted_folder):
    hand.go_to("Retrieval")
    hand.click(page.get_by_text("an image of yours"))
    with page.expect_file_chooser() as chooser:
        hand.click(page.get_by_test_id("stFileUploader").locator("button").first)
    chooser.value.set_files(planted_folder / "disc.png")
    encoder = Encoder.load(planted_folder / "encoder.safetensors")
    image = decode((planted_folder / "disc.png").read_bytes(), "disc.png")
    logits = encoder.encode(encoder.transform(image)[None])[1][0]
    written = "".join(str(int(value > 0)) for value in logits)
    expect(page.get_by_test_id("stCode").first).to_contain_text(re.compile(rf"{written[:16]}\s*{written[16:]}"))


def test_a_cluster_and_its_formula(hand, page, codes):
    hand.go_to("Map")
    plot = page.locator(".st-key-lasso .nsewdrag").first
    expect(plot).to_be_visible()
    ready(page)
    box = plot.bounding_box()
    left, top, right, low = box["x"] + 5, box["y"] + 5, box["x"] + box["width"] - 5, box["y"] + box["height"] - 5
    split = page.evaluate(HALVES)
    if split["across"]:
        corners = [(left, top), (split["at"], top), (split["at"], low), (left, low), (left, top)]
    else:
        corners = [(left, top), (right, top), (right, split["at"]), (left, split["at"]), (left, top)]
    hand.drag(corners)
    expect(page.get_by_text("1 lasso on the map by umap")).to_be_visible()
    expect(page).to_have_url(re.compile("sel=lasso"))
    coin = codes.to_bits()[:, 16].astype(bool)
    expect(page.get_by_text(re.compile(rf"^({coin.sum()}|{(~coin).sum()}) of 80 images"))).to_be_visible()
    formula = page.get_by_test_id("stCode").filter(has_text=re.compile(r"^~?(1[6-9]|2[0-3])$"))
    expect(formula).to_be_visible()
    expect(page.get_by_text("IoU 1.00")).to_be_visible()


HALVES = """() => {
  const plot = document.querySelector(".st-key-lasso .js-plotly-plot"), area = plot.getBoundingClientRect();
  const layout = plot._fullLayout, data = plot._fullData.filter(trace => trace.x);
  const widest = (name, axis, offset) => {
    const values = data.flatMap(trace => [...trace[name]]);
    const places = values.map(v => axis.c2p(v) + axis._offset + offset).sort((a, b) => a - b);
    let gap = 0, at = 0;
    for (let i = 1; i < places.length; i++)
      if (places[i] - places[i - 1] > gap) [gap, at] = [places[i] - places[i - 1], (places[i] + places[i - 1]) / 2];
    return {gap, at};
  };
  const x = widest("x", layout.xaxis, area.left), y = widest("y", layout.yaxis, area.top);
  return x.gap > y.gap ? {across: true, at: x.at} : {across: false, at: y.at};
}"""
"""Where the widest gap between points lies on the screen, and in which direction."""


def test_two_models(hand, page):
    hand.go_to("Compare")
    expect(page.get_by_text("b: other.parquet.")).to_be_visible()
    expect(page.get_by_text("24 of 24 bits matched")).to_be_visible()


def test_a_link_to_what_is_seen(hand, page, context):
    hand.go_to("One bit")
    expect(bit(page)).to_have_value("3")
    hand.click(page.get_by_role("button", name="Next"))
    expect(bit(page)).to_have_value("4")
    hand.click(page.get_by_role("button", name="Copy link"))
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    other = context.new_page()
    other.goto(link)
    expect(bit(other)).to_have_value("4")
    other.close()
