"""Links with a card: pointing at one, or reaching it by the Tab key, shows facts and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from codelab.images.cards import Card

_CSS = """
.links { display: flex; flex-wrap: wrap; gap: 8px; font-family: var(--st-font); }
.link { position: relative; }
button { all: unset; cursor: pointer; padding: 4px 10px; border: 1px solid var(--st-border-color);
  border-radius: 14px; font-size: 14px; color: var(--st-text-color); }
button:hover, button:focus-visible { border-color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); }
.card { display: none; position: absolute; z-index: 10; top: 100%; left: 0; width: 250px; padding: 10px;
  margin-top: 4px; border: 1px solid var(--st-border-color); border-radius: 8px; font-size: 12px; line-height: 1.4;
  color: var(--st-text-color); background: var(--st-background-color); box-shadow: 0 4px 16px rgba(0, 0, 0, .18); }
.link:hover .card, .link:focus-within .card { display: block; }
.side { display: grid; grid-template-columns: 3.2em repeat(3, 1fr); gap: 4px; align-items: center; margin-top: 6px; }
img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #fff; border-radius: 4px; }
.zero img { border-bottom: 3px solid #E69F00; } .one img { border-bottom: 3px solid #0072B2; }
"""

_JS = """
export default function ({ parentElement, data, setTriggerValue }) {
  const box = document.createElement("div");
  box.className = "links";
  for (const link of data.links) {
    const place = document.createElement("div"), button = document.createElement("button");
    const card = document.createElement("div");
    place.className = "link"; card.className = "card"; card.setAttribute("role", "tooltip");
    button.textContent = link.label;
    button.onclick = () => setTriggerValue("clicked", link.bit);
    for (const fact of link.facts) {
      const line = document.createElement("div");
      line.textContent = fact;
      card.append(line);
    }
    for (const [side, pictures] of Object.entries(link.sides)) {
      const row = document.createElement("div"), name = document.createElement("span");
      row.className = `side ${side}`;
      name.textContent = side === "one" ? "bit = 1" : "bit = 0";
      row.append(name);
      for (const picture of pictures) {
        const image = document.createElement("img");
        image.src = picture.uri; image.alt = picture.caption;
        row.append(image);
      }
      card.append(row);
    }
    place.append(button, card);
    box.append(place);
  }
  parentElement.querySelector(".links")?.remove();
  parentElement.append(box);
}
"""

_component = st.components.v2.component("codelab_hover", css=_CSS, js=_JS)


def hover_links(links: Sequence[tuple[int, str, Sequence[str], Mapping[str, Sequence[Card]]]], key: str) -> int | None:
    """A row of links to bits.

    Args:
        links: of each the bit, its label, facts one a line, and pictures of its sides `zero` and `one`.
        key: unique on the page.

    Returns:
        The bit that was clicked just now, or None.
    """
    shown = [
        {
            "bit": bit,
            "label": label,
            "facts": list(facts),
            "sides": {
                side: [{"uri": card.picture, "caption": card.caption} for card in cards if card.picture]
                for side, cards in sides.items()
            },
        }
        for bit, label, facts, sides in links
    ]
    result = _component(data={"links": shown}, key=key, on_clicked_change=lambda: None)
    return None if result.clicked is None else int(result.clicked)
