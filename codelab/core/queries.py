"""Boolean queries of bit numbers, such as `3 & ~17 | 200`, answered on packed columns."""

from __future__ import annotations

import ast
from collections.abc import Callable

import numpy as np

from codelab.core.errors import UsageError


def evaluate(query: str, column: Callable[[int], np.ndarray]) -> np.ndarray:
    """The packed column, uint8 `[ceil(N/8)]`, of the items that satisfy a query; its pad bits may be 1.

    Args:
        query: bit numbers joined by `~`, `&`, `^`, `|` and brackets, which bind as in Python.
        column: gives the packed column of a bit number, or refuses it.

    Raises:
        UsageError: the query is not such an expression.

    Example:
        >>> columns = np.array([[0b11000000], [0b01000000]], dtype=np.uint8)
        >>> evaluate("0 & ~1", lambda bit: columns[bit]).tolist()  # item 0
        [128]
    """
    try:
        tree = ast.parse(query.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise UsageError(f"query {query!r}: expected bit numbers joined by ~ & ^ | and brackets") from None

    def value(node: ast.expr) -> np.ndarray:
        match node:
            case ast.Constant(value=bool()):
                pass
            case ast.Constant(value=int(bit)):
                return column(bit)
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return ~value(operand)
            case ast.BinOp(left=left, op=ast.BitAnd(), right=right):
                return value(left) & value(right)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return value(left) | value(right)
            case ast.BinOp(left=left, op=ast.BitXor(), right=right):
                return value(left) ^ value(right)
        raise UsageError(f"query {query!r}: {ast.unparse(node)!r} is not a bit number or one of ~ & ^ |")

    return value(tree)
