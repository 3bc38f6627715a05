"""README.md's links, paths and names: each exists."""

import re

import pytest

import codelab
from tests.conftest import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "benchmarks/GPU.md"])
def test_links_lead_to_files(name):
    page = ROOT / name
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_paths_in_code_lead_to_files():
    """Also scripts named in the table of times, and every file that a command reads."""
    scripts = {f"benchmarks/{name}" for name in re.findall(r"`(\w+\.py)` \|$", TEXT, re.MULTILINE)}
    named = set(re.findall(r"\b(?:codelab|training|app|benchmarks|configs|tests|docs)/[\w/.-]+\w", TEXT))
    assert len(scripts) > 8
    missing = sorted(path for path in scripts | named if not (ROOT / path).exists())
    assert not missing


def test_folders_in_the_list_are_all_there_are():
    listed = set(re.findall(r"\]\(codelab/(\w+)\)", TEXT))
    assert listed == {path.parent.name for path in ROOT.glob("codelab/*/__init__.py")}


def test_calls_in_the_table_of_questions_exist():
    table = TEXT.split("| question | call |")[1].split("\n\n")[0]
    calls = {name for cell in re.findall(r"`([^`]+)`", table) for name in re.findall(r"^(\w+)(?=$|\()", cell)}
    assert len(calls) > 30
    assert calls <= set(codelab.__all__)
