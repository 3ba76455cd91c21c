"""Calls that a model writes as Python does: `[get_weather(city="Rome"), now()]`.

Parsed into a tree, of which nothing but literals is read; nothing is ever run. What goes to the parser is
bounded before: its size, its depth, and every construct that nests without brackets.
"""

import ast
import math
import re
import warnings
from typing import Any

import msgspec

MAX_SIZE = 64 * 1024
_MAX_DEPTH = 32

_TOKEN = re.compile(
    r"""\s+|"{3}(?:[^\\]|\\.)*?"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'"""
    r"""|-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?(?![\w.])|[A-Za-z_][\w.]{0,159}(?![\w."'])|[()\[\]{}]|[,=:]""",
    re.S,
)
_CHAIN = re.compile(r"[)\]}]\s*[(\[{]|[nv]\s*[nv]")
"""What nests although no bracket stands in another: one behind another, words (n) or values (v) in a row."""
_WORDS = {"true": True, "false": False, "null": None}
_LONGEST_NUMBER = 300


class _Unreadable(Exception):
    """There is more in it than literals."""


def read_python(text: str) -> list[tuple[str, str]] | None:
    """Names and arguments (JSON objects) of a list of calls; None when it is not only that."""
    if len(text) > MAX_SIZE or not _is_plain(text):
        return None
    try:
        tree = _parse(text.strip())
        if not isinstance(tree, ast.List) or not tree.elts:
            return None
        return [_call(entry) for entry in tree.elts]
    except (_Unreadable, SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return None


def _parse(text: str) -> ast.expr:
    with warnings.catch_warnings():  # models write escapes that Python warns of
        warnings.simplefilter("ignore")
        return ast.parse(text, mode="eval").body


def _is_plain(text: str) -> bool:
    """Whether a text is made of literals, names and brackets that do not nest too deep."""
    at = depth = 0
    between = []
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or _is_huge(found[0]):
            return False
        token = found[0]
        depth += (token in ("(", "[", "{")) - (token in (")", "]", "}"))
        if depth > _MAX_DEPTH:
            return False
        between.append(_kind(token))
        at = found.end()
    return _CHAIN.search("".join(between)) is None


def _is_huge(token: str) -> bool:
    """Whether a number has more digits than anybody means."""
    return len(token) > _LONGEST_NUMBER and (token[0] == "-" or token[0].isdigit())


def _kind(token: str) -> str:
    if token[0] in "\"'-" or token[0].isdigit():
        return "v"
    return "n" if token[0].isalpha() or token[0] == "_" else token


def _call(node: ast.expr) -> tuple[str, str]:
    if not isinstance(node, ast.Call) or node.args:
        raise _Unreadable
    arguments = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise _Unreadable
        arguments[keyword.arg] = _literal(keyword.value)
    return _name(node.func), msgspec.json.encode(arguments).decode()


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise _Unreadable


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value):
            return _constant(value)
        case ast.Name(name) if name in _WORDS:
            return _WORDS[name]
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
            return _constant(-value)
        case ast.List(entries) | ast.Tuple(entries):
            return [_literal(entry) for entry in entries]
        case ast.Dict(keys, values):
            return {_key(key): _literal(value) for key, value in zip(keys, values, strict=True)}
        case _:
            raise _Unreadable


def _constant(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise _Unreadable


def _key(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise _Unreadable
