"""The layout: imports point one way, and files and functions fit on a few screens."""

import ast
from graphlib import TopologicalSorter

import codelab
from tests.conftest import ROOT

ORDER = (
    *("core", "kernels", "images", "features", "statistics", "neighbours", "measures", "retrieval", "semantics"),
    *("analysis", "scoring", "reporting", "runs", "scale", "demo", "cli", "__main__"),
)
"""Folders and modules of `codelab`; each may import itself and what stands before it."""

MAY_IMPORT_TRAINING = "codelab.cli.train"
CIRCLE = ("codelab.core.codes", "codelab.core.files")  # `Codes.save` imports the writer when it is called

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text()
    for top in ("codelab", "training", "app")
    for path in sorted((ROOT / top).rglob("*.py"))
}
TREES = {name: ast.parse(text) for name, text in MODULES.items()}


def imports(tree):
    """The modules of ours that a file imports, at its top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                if node.module == "codelab" and alias.name in codelab._HOME:  # a public name, wherever it lives
                    yield f"codelab.{codelab._HOME[alias.name]}"
                else:
                    inner = f"{node.module}.{alias.name}"
                    yield inner if inner in MODULES else node.module


ARROWS = sorted({(name, target) for name, tree in TREES.items() for target in imports(tree)})


def may_import(name, target):
    match name.split("."), target.split("."):
        case ["codelab", place, *_], ["codelab", other, *_]:
            return ORDER.index(other) <= ORDER.index(place)
        case [("codelab" | "app"), *_], ["training", *_]:
            return name == MAY_IMPORT_TRAINING
        case [("codelab" | "training"), *_], ["app", *_]:
            return False
        case ["training", *_], ["codelab", "cli", *_]:
            return False
    return True


def test_imports_point_one_way():
    wrong = [f"{name} imports {target}" for name, target in ARROWS if not may_import(name, target)]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: {b for a, b in ARROWS if a == name and (a, b) != CIRCLE} for name in MODULES}
    TopologicalSorter(graph).prepare()  # its CycleError names the circle


def test_folders_are_in_the_list_and_none_bears_the_name_of_a_public_function():
    top = {name.split(".")[1] for name in MODULES if name.startswith("codelab.")}
    assert top <= set(ORDER)
    assert not top & set(codelab.__all__)


def test_files_are_short():
    long = {name: len(text.splitlines()) for name, text in MODULES.items()}
    assert not {name: lines for name, lines in long.items() if lines > 400}


def test_functions_are_short():
    """At most 60 lines without signature and docstring, which otherwise says why with the words "One function"."""
    long = []
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node, clean=False)
                first = node.body[1:2] if text else node.body[:1]
                lines = node.end_lineno - first[0].lineno + 1 if first else 0
                if lines > 60 and "One function" not in (text or ""):
                    long.append(f"{name}.{node.name}: {lines} lines")
    assert not long, "\n".join(long)
