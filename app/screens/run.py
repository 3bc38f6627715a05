"""Run: how the training went that made these codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import streamlit as st

from app.state import View
from app.widgets import chart, downloads, show_code, text
from codelab.core.errors import CodelabError
from codelab.core.inside import inside
from codelab.runs.figures import curves
from codelab.runs.panels import panels
from codelab.runs.readings import Curves, is_run, read_run
from codelab.runs.verdict import about, alarm_lines, course

FILES = ("metrics.jsonl", "config.json", "evaluation.jsonl", "nonfinite.json")
"""What is read of a run."""
_BOX = {"good": st.success, "watch": st.warning, "bad": st.error, "note": st.info}


def show(view: View) -> None:
    st.title("How did the training go?")
    folder = run_folder(view)
    if folder is None:
        st.info(
            "No training run lies beside these codes. Open a run folder, or codes inside one: "
            "`codelab explore runs/demo`.",
            icon=":material/info:",
        )
        return
    try:
        run = read_run(folder)
    except (CodelabError, OSError) as error:
        st.error(text(str(error)), icon=":material/error:")
        return
    st.caption(text(about(run)))
    answer = course(run)
    _BOX[answer.level](f"**{text(answer.title)}.** {text(answer.text)}")
    _alarms(run)
    for heading, words, panel in panels([run]):
        lines = tuple(line for line in panel.lines if line.known(run))
        if not lines:
            continue
        st.markdown(f"#### {heading}")
        st.caption(text(words))
        best = str(run.config.get("best_by", ""))
        chart(curves(replace(panel, lines=lines), [run], best_by=best), f"run-{heading}")
    with st.expander("Its configuration", icon=":material/settings:"):
        st.json(run.config)
    downloads(pd.DataFrame({"step": run.readings.step, **run.readings.columns}), "readings")
    show_code(
        f"""
from codelab.runs.readings import read_run
run = read_run({str(folder)!r})
# codelab report {folder} writes these curves as one HTML file
"""
    )


def run_folder(view: View) -> Path | None:
    """The run folder that holds the codes; None where there is none, or one of its files lies elsewhere."""
    folder = inside(view.path.resolve().parent, view.root)
    if folder is None or not is_run(folder):
        return None
    return folder if all(inside(folder / name, view.root) for name in FILES if (folder / name).is_symlink()) else None


def _alarms(run: Curves) -> None:
    lines = alarm_lines(run)
    if not lines:
        st.caption("No alarm was raised.")
        return
    with st.expander(f"{len(run.alarms)} alarms", icon=":material/warning:", expanded=True):
        for when, words in lines:
            st.markdown(f"**{text(when)}**: {text(words)}")
