"""Calls of the command line in tests."""

from codelab.cli.main import main


def fails(capsys, code, *arguments):
    """Run a call that must fail; its one line of error."""
    try:
        returned = main([str(a) for a in arguments])
    except SystemExit as stop:
        returned = stop.code
    said = capsys.readouterr()
    assert returned == code, said
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[-1].startswith("codelab")
    assert "Traceback" not in said.err
    return lines[-1]
