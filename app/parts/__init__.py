"""The parts of a bit's own page, one file each: `NAME` for the address, `TITLE`, and `show(view, bit)`."""
