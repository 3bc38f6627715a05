"""What a bit is worth for retrieval, and which change of the image flips it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from app.on_request import on_request
from app.state import View
from app.widgets import downloads, reason, show_code, text
from codelab.core.arrays import even_rows
from codelab.core.formats import ordinal
from codelab.images.imageset import ImageSet
from codelab.measures.channel import ViewChannels, view_channels
from codelab.semantics.value import BitValue, bit_value

NAME, TITLE = "value", "Value and stability"

IMAGES = 300
"""Images that are changed and coded again."""


def show(view: View, bit: int) -> None:
    st.markdown("#### What is it worth for retrieval?")
    _value(view, bit)
    st.markdown("#### Which change of the image flips it?")
    _flips(view, bit)
    show_code(
        f"""
codelab.bit_value(codes, groups={view.group!r}).to_frame().iloc[{bit}]
# codelab analyze CODES --views 2 --data IMAGES measures the flips on all images
"""
    )


def _value(view: View, bit: int) -> None:
    found = on_request(view, "value", "Measure the value of every bit", value)
    if found is None:
        return
    if isinstance(found, str):
        reason(found)
        return
    rank = int((found.masked > found.masked[bit]).sum()) + 1
    low, high = float(found.masked_low[bit]), float(found.masked_high[bit])
    st.markdown(
        f"Without it, mAP changes by **{-float(found.masked[bit]):+.4f}** (95% interval {-high:+.4f} to {-low:+.4f}); "
        f"with its values permuted by {-float(found.permuted[bit]):+.4f}. By the first, it is {ordinal(rank)} of "
        f"{len(found.masked)} bits; all bits together reach {found.retrieval_map:.3f}, {found.queries:,} queries."
    )


def value(view: View) -> BitValue:
    return bit_value(view.codes, groups=view.group)


def _flips(view: View, bit: int) -> None:
    encoder = view.encoder()
    if isinstance(encoder, str):
        st.info(text(encoder.replace("Uploading needs", "This needs")), icon=":material/info:")
        return
    found = on_request(view, "flips", f"Change {min(IMAGES, len(view.codes))} images and code them again", flips)
    if found is None:
        return
    if isinstance(found, str):
        reason(found)
        return
    frame = pd.DataFrame(
        {
            "change": found.names,
            "flips in": found.flip_rate[:, bit],
            "low": found.low[:, bit],
            "high": found.high[:, bit],
            "by chance": found.chance[:, bit],
            "all bits": found.flip_rate.mean(axis=1),
        }
    ).sort_values("flips in", ascending=False)
    percent = st.column_config.NumberColumn(format="percent")
    names = [str(name) for name in frame if name != "change"]
    st.dataframe(frame, hide_index=True, key=f"flips{bit}", column_config=dict.fromkeys(names, percent))
    downloads(frame, f"bit{bit}-flips")
    st.caption("Share of images whose bit changes when the image does, with its 95% interval.")


def flips(view: View) -> ViewChannels | str:
    """Codes of an even sample of the images before and after each change alone."""
    from codelab.images.augment import CHANGES, view_of
    from codelab.images.export import encode_images

    encoder = view.encoder()
    if isinstance(encoder, str):
        return encoder
    rows = even_rows(len(view.codes), IMAGES)
    images = _images(view, rows)
    if isinstance(images, str):
        return images
    before = encode_images(encoder, images, progress=False)
    agree = float((before.to_bits() == view.codes[rows].to_bits()).mean())
    if agree < 0.9:
        return (
            f"view_channels: the pictures kept with these codes give other codes ({agree:.0%} of the bits agree); "
            "run codelab analyze --views 2 with --data, where the whole images are"
        )
    changed = {name: encode_images(encoder, view_of(images, name), progress=False) for name in CHANGES}
    return view_channels(before, changed)


def _images(view: View, rows: np.ndarray) -> ImageSet | str:
    """The pictures of some rows: those that are kept with the codes."""
    from codelab.images.imageset import ImageSet

    items = view.codes.items.take(rows)
    if "thumbnail" not in items.column_names or items["thumbnail"].null_count:
        return "view_channels: needs pictures kept with the codes; export them with --thumbnails"
    data = items["thumbnail"].to_pylist()
    return ImageSet("pictures", items, view.codes.labels[rows], view.codes.classes, lambda i: data[i])
