"""Where in an image a bit looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from app.address import named
from app.parts.images import images, shown_exemplars
from app.state import View
from app.widgets import chart, show_code, text
from codelab.core.drawing import BLUE, ORANGE, blank
from codelab.core.errors import DataError
from codelab.images.cards import card
from codelab.images.imageset import decode

if TYPE_CHECKING:
    from codelab.images.encoder import Encoder
    from codelab.images.heatmap import Heatmap, Method

NAME, TITLE = "where", "Where it looks"

BLUE_AND_ORANGE = "Blue patches speak for the value that the bit has in this image, orange ones against it, in logits."
HOW = {
    "occlusion": "Occlusion: how much nearer the logit comes to the other side when the patch is hidden.",
    "gradient": "Gradient times input, an approximation.",
    "attention": "Attention: the logits of the patches times the attention they get, an approximation.",
}
"""Methods of a heat map, in words."""
SIDE = 320
"""Pixels of the picture under the map."""


def show(view: View, bit: int) -> None:
    encoder = view.encoder()
    if isinstance(encoder, str):
        st.info(text(encoder.replace("Uploading needs", "This needs")), icon=":material/info:")
        return
    found = shown_exemplars(view, bit)
    rows = [int(row) for row in np.concatenate([found.one[:6], found.zero[:6]])]
    if not rows:
        st.info("There is no image to look at.", icon=":material/info:")
        return
    row, method = _image(view, rows), method_of(encoder)
    picture = picture_of(view, row)
    if isinstance(picture, str):
        st.info(text(picture), icon=":material/info:")
        return
    made = heatmap_of(view, encoder, picture, bit, row, method)
    left, right = st.columns(2)
    with left:
        chart(over_picture(made.values, picture), f"where-{bit}-{row}-{method}")
    with right:
        images(view, bit, np.array([row]), "where-image")
        st.markdown(text(made.headline()))
        st.caption(f"{BLUE_AND_ORANGE} {HOW[method]} The picture is the one kept with the codes.")
    show_code(
        f"""
encoder = codelab.Encoder.load("encoder.safetensors")
found = encoder.heatmap(image, {bit}, method={method!r})  # image: a PIL image
found.values  # logits, one for each patch
"""
    )


def _image(view: View, rows: list[int]) -> int:
    """The row of the image to look at, as the address names it; the first of `rows` where it names none of them."""
    ids = {str(view.codes.items["id"][row].as_py()): row for row in rows}
    changed = named(ids, next(iter(ids)), key="where", name="image")
    return ids[str(st.selectbox("Image", list(ids), key="where", on_change=changed))]


def method_of(encoder: Encoder) -> Method:
    """How heat maps are made, as the address names it; vision transformers alone have attention."""
    from codelab.images.attention import has_attention

    methods: list[Method] = ["occlusion", "gradient"]
    if has_attention(encoder):
        methods.append("attention")
    changed = named(methods, methods[0], key="heatmap", unsaid=methods[0])
    return st.segmented_control("By", methods, required=True, key="heatmap", on_change=changed) or methods[0]


def heatmap_of(view: View, encoder: Encoder, picture: Image.Image, bit: int, row: int, method: Method) -> Heatmap:
    """A heat map of an image, made once for all sessions."""
    with st.spinner("Looking at each patch in turn …"):
        return view.kept("heatmap", bit, row, method, make=lambda: encoder.heatmap(picture, bit, method=method))


def picture_of(view: View, row: int) -> Image.Image | str:
    """The picture of an item that is kept with its code, or why there is none."""
    items = view.codes.items
    data = items["thumbnail"][row].as_py() if "thumbnail" in items.column_names else None
    if not data:
        return card(view.codes, row, view.pictures).missing or "no picture is kept with this code"
    try:
        return decode(data, "thumbnail")
    except DataError as error:
        return str(error)


def over_picture(values: np.ndarray, picture: Image.Image) -> object:
    """The map over the picture: blue for the bit's value, orange against it."""
    side = len(values)
    most = float(np.abs(values).max()) or 1.0
    figure = blank("", "", height=SIDE + 60)
    figure.add_layout_image(
        source=picture.convert("L").resize((SIDE, SIDE)),
        x=-0.5,
        y=-0.5,
        sizex=side,
        sizey=side,
        xref="x",
        yref="y",
        sizing="stretch",
        layer="below",
    )
    figure.add_heatmap(
        z=values,
        zmin=-most,
        zmax=most,
        opacity=0.65,
        colorscale=[[0, ORANGE], [0.5, "#FFFFFF"], [1, BLUE]],
        colorbar={"title": {"text": "logits"}, "thickness": 12},
        hovertemplate="row %{y}, column %{x}: %{z:+.3f} logits<extra></extra>",
    )
    figure.update_yaxes(range=[side - 0.5, -0.5], visible=False)
    figure.update_xaxes(range=[-0.5, side - 0.5], visible=False, scaleanchor="y")
    return figure
