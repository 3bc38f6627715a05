"""The explorer: `streamlit run app/main.py`, or with another file `streamlit run app/main.py -- --codes PATH`.

`--codes` may be given several times: the first is shown, and the page Compare offers the others beside it. Codes are
opened in one folder alone: `--root`, else the folder of the first `--codes`, else the working directory.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

# before `app` is imported: in a clone and in a wheel this folder's, not another project's in the working directory
if sys.path[0] != str(Path(__file__).parents[1]):
    sys.path.insert(0, str(Path(__file__).parents[1]))

from app.address import keep, keep_history, kept
from app.ahead import import_ahead
from app.find import go_to_found, search_field
from app.keys import keys
from app.link import copy_link
from app.state import (
    View,
    codes_in,
    command_line,
    content_of,
    group_choices,
    label_choices,
    open_codes,
    relabelled,
    stamp,
)
from app.widgets import FIGURES, LOADED, PAGES, style, text
from codelab.core.attributes import NO_GROUPS, same_thing
from codelab.core.codes import Codes
from codelab.core.errors import CodelabError
from codelab.images.cards import attribution

DEFAULT = "runs/demo/codes.parquet"
MOST_SHOWN = 200  # characters of a name that was typed, in the answer to it
# files of `app/screens` in the order of the navigation, with a title and an icon; the first one opens
SCREENS = {
    "overview": ("Overview", "monitor_heart"),
    "bits": ("Bits", "grid_view"),
    "bit": ("One bit", "lightbulb"),
    "classes": ("Classes", "category"),
    "retrieval": ("Retrieval", "image_search"),
    "image": ("One image", "image"),
    "map": ("Map", "scatter_plot"),
    "query": ("Query", "filter_alt"),
    "compare": ("Compare", "compare_arrows"),
    "run": ("Run", "show_chart"),
}
FIRST = next(iter(SCREENS))

HOW_TO = """
### There are no codes here yet

Make the demo's codes (a few minutes, nothing to download):

```
make demo
```

or the codes of your own images, with any encoder:

```
codelab export --ckpt runs/demo/encoder.safetensors --data photos/ --out codes.parquet --logits --thumbnails
```

or bring codes you already have: a `.npy` file with 0/1 values `[N, B]`, or an `.npz` with `codes` and `labels`.
Then name the file in the sidebar.
"""


def main() -> None:
    st.set_page_config(page_title="codelab explorer", page_icon=_icon(), layout="wide")
    style()
    keep_history()
    import_ahead(f"app.screens.{FIRST}")
    view = _sidebar()
    pages = {
        name: st.Page(
            partial(_page, name, view),
            title=title,
            icon=f":material/{icon}:",
            url_path=name if name != FIRST else "start",  # Streamlit gives the default page the address of the root
            default=name == FIRST,
        )
        for name, (title, icon) in SCREENS.items()
    }
    st.session_state[PAGES] = pages
    keys()
    copy_link()
    by_name = st.Page(partial(_to_first, view), title=SCREENS[FIRST][0], url_path=FIRST, visibility="hidden")
    page = st.navigation([*pages.values(), by_name])
    if isinstance(view, View):
        st.session_state[LOADED] = view.lines()
        go_to_found(view)
    page.run()


def _to_first(view: View | str | None) -> None:
    """From the address `/overview` to that of the root, in whose place it leaves no entry of the history."""
    st.html("<script>location.replace('./' + location.search)</script>", unsafe_allow_javascript=True)
    _page(FIRST, view)


def _icon() -> Image.Image:
    """A small picture of bits for the browser's tab; a named icon would be fetched from the network."""
    bits = np.array([[1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0]])
    colours = np.array([[230, 159, 0], [0, 114, 178]], dtype=np.uint8)  # the colours of 0 and of 1
    return Image.fromarray(colours[bits]).resize((32, 32), Image.Resampling.NEAREST)


def _page(name: str, view: View | str | None) -> None:
    """A page over the opened codes, imported when first opened; where there are none, why, and how to make some."""
    if isinstance(view, View):
        try:
            import_module(f"app.screens.{name}").show(view)
        except CodelabError as error:
            st.error(text(str(error)), icon=":material/error:")
        return
    if view:
        st.error(text(view), icon=":material/error:")
    st.markdown(HOW_TO)


def _sidebar() -> View | str | None:
    """What to look at; a line of text where the file cannot be opened, None where there is none."""
    with st.sidebar:
        options = command_line(*sys.argv[1:])
        default = str(Path(options.codes[0]).resolve()) if options.codes else DEFAULT
        root = Path(options.root or (Path(default).parent if options.codes else Path.cwd()))
        st.session_state["codes"] = kept("codes") or default
        named = st.text_input(
            "Codes",
            key="codes",
            on_change=_keep,
            args=("codes", default),
            help="A file or folder of codes, in the explorer's folder.",
        )
        named = (named or default).strip()
        try:
            path = codes_in(root, named)
            if path is None:  # the same words for what is not there and for what lies outside
                return None if named == DEFAULT else f"{named[:MOST_SHOWN]!r}: no codes in the explorer's folder"
            key = stamp(path)
            codes = open_codes(path, key)
        except CodelabError as error:
            return str(error)
        choices = label_choices(codes, key)
        label = _choice(
            "Labels",
            "labels",
            choices,
            choices[0],
            help="What counts as the class of an image: the labels in the file, or any attribute.",
        )
        groups, usual = group_choices(codes, key), same_thing(codes)
        group = _choice(
            "Near copies share",
            "group",
            groups,
            usual if usual in groups else NO_GROUPS,
            help="Images with the same value show one thing (the skin tones of one emoji, the frames of one video). "
            "Intervals and p-values count them as one, rankings leave the query's own group out, and galleries show "
            "one image of each.",
        )
        _summary(codes, path)
        search_field()
        st.segmented_control("Figures are saved as", ["svg", "png"], default="svg", required=True, key=FIGURES)
    labelled = relabelled(codes, (key, label), label)
    pictures = Path(options.pictures) if options.pictures else path.resolve().parent
    group_of = None if group == NO_GROUPS else group
    return View(path, (key, label), content_of(path, key), labelled, label, group_of, root, pictures)


def _choice(title: str, name: str, choices: list[str], default: str, *, help: str) -> str:
    """A choice that holds on every page; the address names it where it is not the default."""
    chosen = kept(name)
    if chosen not in choices:  # nothing, or what another file has
        keep(name, "")
        chosen = default
    st.session_state[name] = chosen
    return st.selectbox(title, choices, key=name, on_change=_keep, args=(name, default), help=help) or default


def _keep(name: str, default: str) -> None:
    """Keep what the reader has chosen."""
    chosen = st.session_state[name] or ""
    keep(name, "" if chosen == default else chosen)


def _summary(codes: Codes, path: Path) -> None:
    splits = f" · {text(' + '.join(codes.splits))} split" if codes.splits else ""
    kept = [name for name in ("logits", "features") if getattr(codes, name) is not None]
    if "thumbnail" in codes.items.column_names:
        kept.append("thumbnails")
    st.caption(f"**{len(codes):,} images · {codes.bits} bits**{splits}  \nwith {', '.join(kept) or 'codes only'}")
    if credit := attribution(codes):
        st.caption(text(credit))


main()
