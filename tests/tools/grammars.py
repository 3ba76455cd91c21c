"""Grammars of the kind that clients send, each with texts that match and texts that do not."""

from typing import Literal, NamedTuple


class Case(NamedTuple):
    name: str
    syntax: Literal["lark", "regex"]
    definition: str
    good: tuple[str, ...]
    bad: tuple[str, ...]


# What coding agents send for patches: an envelope, then sections for files.
PATCH = r"""
start: opening section+ closing
opening: "*** Begin Patch" NL
closing: "*** End Patch" NL?
section: added | removed | changed
added: "*** Add File: " PATH NL ("+" REST NL)+
removed: "*** Delete File: " PATH NL
changed: "*** Update File: " PATH NL moved? lines?
moved: "*** Move to: " PATH NL
lines: (place | line)+ last?
place: ("@@" | "@@ " PATH) NL
line: ("+" | "-" | " ") REST NL
last: "*** End of File" NL
PATH: /[^\n]+/
REST: /[^\n]*/
NL: /\n/
"""
_ADD = "*** Begin Patch\n*** Add File: a.txt\n+one\n+\n*** End Patch\n"
_UPDATE = """*** Begin Patch
*** Update File: src/a.py
*** Move to: src/b.py
@@ def f():
     x = 1
-    return x
+    return x + 1
*** End of File
*** Delete File: old é 😀.py
*** End Patch"""

# Source that may begin with a pragma, as agents send it for a tool that runs code.
SOURCE = r"""
start: pragma | plain
pragma: PRAGMA BREAK TEXT
plain: TEXT
PRAGMA: /[ \t]*\/\/ @exec:[^\r\n]*/
BREAK: /\r?\n/
TEXT: /[\s\S]+/
"""

_LARK: list[Case] = [
    Case(
        "patch",
        "lark",
        PATCH,
        (_ADD, _UPDATE),
        (_ADD.replace("+one", "one"), _ADD[:-20], "*** Begin Patch\n"),
    ),
    Case("source", "lark", SOURCE, ("text(1)\n", '// @exec: {"a": 1}\ntext(1)'), ("",)),
    Case(
        "arithmetic",
        "lark",
        """
        start: sum
        sum: product (("+" | "-") product)*
        product: atom (("*" | "/") atom)*
        atom: NUMBER | "(" sum ")"
        NUMBER: /[0-9]+(\\.[0-9]+)?/
        %ignore / +/
        """,
        ("1", "1 + 2*3", "(1.5-2)/ 4"),
        ("", "1 +", "(1", "1 2", "a"),
    ),
    Case(
        "sql",
        "lark",
        """
        start: "SELECT " columns " FROM " NAME where? ";"
        columns: "*" | NAME (", " NAME)*
        where: " WHERE " NAME " " OPERATOR " " NUMBER
        OPERATOR: ">" | "<" | "="
        NAME: /[a-z_]+/
        NUMBER: /[0-9]+/
        """,
        ("SELECT * FROM users;", "SELECT id, name FROM users WHERE age > 25;"),
        ("DROP TABLE users;", "SELECT * FROM users", "SELECT FROM users;"),
    ),
    Case(
        "recursion",
        "lark",
        'start: pair*\npair: "(" start ")" | "[" start "]"',
        ("", "()", "([])[]", "((((()))))"),
        ("(", ")", "([)]"),
    ),
    Case("choice", "lark", 'start: "yes" | "no" | "maybe"', ("yes", "maybe"), ("y", "yes ", "YES")),
    Case(
        "common",
        "lark",
        "start: INT (WS INT)*\n%import common.INT\n%import common.WS",
        ("1 2\n3",),
        ("1,2", ""),
    ),
    Case(
        "key values",
        "lark",
        'start: entry ("\\n" entry)*\nentry: KEY "=" VALUE\nKEY: /[A-Z_]+/\nVALUE: /[^\\n]*/',
        ("A=1\nB_C=two words",),
        ("a=1", "A 1", "A=1\n"),
    ),
    Case("repetition", "lark", 'start: "ha"~2..4 "!"', ("haha!", "hahahaha!"), ("ha!", "hahahahaha!")),
    Case("date", "lark", "start: /[0-9]{4}-(0[1-9]|1[0-2])-[0-3][0-9]/", ("2026-11-21",), ("2026-13-01",)),
    Case(
        "list",
        "lark",
        'start: ("- " ITEM "\\n")+\nITEM: /[^\\n]+/',
        ("- a\n- b c\n",),
        ("* a\n", "- a", ""),
    ),
]
_REGEX: list[Case] = [
    Case("telephone", "regex", r"\d{3}-\d{4}", ("555-0199",), ("5550199", "555-01999", "a555-0199")),
    Case("anchored", "regex", r"^[a-z]+$", ("abc",), ("ABC", "a b", "")),
    Case("select", "regex", r"SELECT .+", ("SELECT 1",), ("select 1", "SELECT ")),
    Case("any case", "regex", r"(?i)select .*", ("SeLeCt 1",), ("pick 1",)),
    Case("lines", "regex", r"(?s).*", ("a\nb", ""), ()),
    Case("no lines", "regex", r".+", ("a b",), ("a\nb",)),
    Case("hex", "regex", r"#([0-9a-fA-F]{3}){1,2}", ("#fff", "#12aBcD"), ("#ffff", "fff")),
    Case("words", "regex", r"[\p{L}]+( [\p{L}]+)*", ("Grüße aus Köln", "привет"), ("a1", "a  b")),
    Case("named", "regex", r"(?P<year>\d{4})/(?P<week>\d{1,2})", ("2026/47",), ("26/47",)),
    Case("mail", "regex", r"[\w.+-]+@[\w-]+(\.[\w-]+)+", ("a.b@c.example",), ("a.b@c", "@c.example")),
    Case("emoji", "regex", r"[😀-😂]+", ("😀😂",), ("😎", "")),
    Case(
        "timestamp", "regex", r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", ("23:59", "00:00:01"), ("24:00", "1:00")
    ),
]
CASES = [*_LARK, *_REGEX]
