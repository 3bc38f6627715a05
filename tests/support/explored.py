"""The explorer run without a browser: a page is opened, pressed and read."""

import json
import re
from importlib import import_module

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from tests.conftest import ROOT

ANALYZE = import_module("codelab.analysis.analyze")  # `codelab.analysis.analyze` is a function too
MAIN = str(ROOT / "app" / "main.py")
PAGES = ("overview", "bits", "bit", "classes", "retrieval", "image", "map", "query", "compare", "run")


def opened(path, page="overview", **query):
    """A page of the explorer on a codes file, after a run without an exception."""
    app = AppTest.from_file(MAIN, default_timeout=100)
    for name, value in {"codes": str(path), **query}.items():
        app.query_params[name] = value
    app._page_hash = calc_hash(page)  # as a link to the page has it: AppTest can only switch to pages that are files
    return checked(app.run())


def turn_to(app, page):
    """Another page of the running app, as a click in its navigation opens it."""
    app._page_hash = app.session_state["pages"][page]._script_hash
    return checked(app.run())


def checked(app):
    assert not app.exception, app.exception[0].value
    return app


def press(app, label):
    return checked(next(button for button in app.button if button.label == label).click().run())


def said(app):
    """Everything the page says in words, without markdown's backslashes."""
    kinds = (app.title, app.markdown, app.caption, app.info, app.success, app.warning, app.error)
    return re.sub(r"\\([^\w\s])", r"\1", "\n".join(element.value for kind in kinds for element in kind))


def gallery(app, key):
    """The cards of a gallery on the page."""
    element = next(e for e in app.get("bidi_component") if e.key == key)
    return json.loads(element.proto.json)["cards"]


def every_card(app):
    """The cards of all galleries on the page."""
    data = [json.loads(e.proto.json) for e in app.get("bidi_component") if e.proto.json]
    return [card for one in data for card in one.get("cards", [])]


def table_with(app, column):
    """The first table on the page that has this column."""
    return next(frame.value for frame in app.dataframe if column in frame.value)


def rows(app, key):
    return [card["row"] for card in gallery(app, key)]
