"""How models write calls in their text, as data (docs/internals/upstreams.md section 8).

A syntax is known by its head: what a call begins with, up to where its body begins. The head is read step by
step, so that what cannot become a call any more is known at the first character that says so.
"""

import re
from collections.abc import Iterable
from enum import Enum, auto
from typing import Final, Literal

from msgspec import Struct

TOOL_CALL, TOOL_CALL_END = "<tool_call>", "</tool_call>"
"""The tags of Hermes, which emulated functions use too."""


class Here(Enum):
    """Where the body begins; what a head has behind it is only looked at."""

    BODY = auto()


Step = str | re.Pattern[str] | Here
Head = tuple[Step, ...]

# Each of them matches every beginning of what it matches: text may end anywhere.
SPACE: Final = re.compile(r"[ \t\r\n]{0,64}")
NAME: Final = re.compile(r"[\w.:/-]{1,160}")
"""The function, as the model calls it."""
IDENTIFIER: Final = re.compile(r"[A-Za-z_][\w.]{0,159}")
_WORD: Final = re.compile(r"\w{1,64}")
_CHANNEL: Final = re.compile(r"[a-z]{0,32}")
_REST: Final = re.compile(r"[^<{]{0,64}")
"""What else stands in a header of Harmony."""
_OTHER_KEY: Final = re.compile(r'(?!name")\w{1,64}')
BODY: Final = Here.BODY

_NAMED: Head = ("{", SPACE, '"name"', SPACE, ":", SPACE, '"', NAME, '"')
_OTHER: Head = ("{", SPACE, '"', _OTHER_KEY)
_OBJECTS: tuple[Head, ...] = (_NAMED, _OTHER)
_TYPED: Head = ("{", SPACE, '"type"', SPACE, ":", SPACE, '"function"', SPACE, ",", SPACE, *_NAMED[2:])
_WITH: tuple[Head, ...] = ((SPACE, ",", SPACE, '"arguments"'), (SPACE, ",", SPACE, '"parameters"'))
_CALLS: tuple[Head, ...] = tuple((*head, *more) for head in (_NAMED, _TYPED) for more in _WITH)
"""What can only be a call: an object with a name, and with arguments right behind it."""

Reading = Literal["calls", "arguments", "parameters", "pairs", "python"]


class Syntax(Struct, frozen=True):
    """One way to write a call."""

    name: str
    heads: tuple[Head, ...]
    reads: Reading
    """What the body is: JSON with names, the JSON arguments of the function in the head, its parameters
    between tags, keys and values between tags, or a list of Python calls."""
    wraps: tuple[str, ...] = ()
    """What may stand before the first of several calls."""
    closes: tuple[str, ...] = ()
    """What may stand behind a call."""
    ends: tuple[str, ...] = ()
    """The end of a body that is no JSON."""
    more: tuple[Head, ...] = ()
    """What another call behind a call begins with, other than a head."""


def _behind(*start: Step, heads: Iterable[Head] = _OBJECTS) -> tuple[Head, ...]:
    return tuple((*start, *head) for head in heads)


_KIMI_SECTION = ("<|tool_calls_section_begin|>", "<|tool_call_section_begin|>")
_KIMI_END = ("<|tool_call_end|>", "<|tool_calls_section_end|>", "<|tool_call_section_end|>")
_DEEPSEEK_SECTION = ("<｜tool▁calls▁begin｜>", "<｜tool_calls_begin｜>")
_DEEPSEEK_CALL, _DEEPSEEK_NAME = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>"
_DEEPSEEK_END = ("<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>", "<｜tool_calls_end｜>")
_FENCED: Head = (NAME, SPACE, "```json", SPACE, BODY, "{")
_INVOKE: Head = (SPACE, 'name="', NAME, '"', SPACE, ">")
_DSML_SECTION = ("<｜DSML｜function_calls>", "<｜DSML｜tool_calls>")
_DSML_END = ("</｜DSML｜function_calls>", "</｜DSML｜tool_calls>")
_INVOKE_SECTION = ("<minimax:tool_call>", "<function_calls>")
_INVOKE_SECTION_END = ("</minimax:tool_call>", "</function_calls>")
_TO: Head = (SPACE, "to=", NAME, _REST)
_CONTENT: tuple[Head, ...] = (
    ("<|message|>", SPACE, BODY, "{"),
    ("<|constrain|>", _REST, "<|message|>", SPACE, BODY, "{"),
)

ANYWHERE: Final = (
    Syntax("Hermes", _behind(TOOL_CALL, SPACE, BODY), "calls", (), (TOOL_CALL_END,)),
    Syntax(
        "Qwen-Coder",
        (("<function=", NAME, ">", BODY, SPACE, "<"),),
        "parameters",
        wraps=(TOOL_CALL, "<seed:tool_call>"),
        closes=(TOOL_CALL_END, "</seed:tool_call>"),
        ends=("</function>", TOOL_CALL_END, "</seed:tool_call>"),
    ),
    Syntax(
        "Llama functions",
        (("<function=", NAME, ">", SPACE, BODY, "{"),),
        "arguments",
        wraps=(TOOL_CALL,),
        closes=("</function>", TOOL_CALL_END),
    ),
    Syntax(
        "GLM",
        (
            (TOOL_CALL, SPACE, NAME, SPACE, BODY, "<arg_key>"),
            (TOOL_CALL, SPACE, NAME, SPACE, BODY, TOOL_CALL_END),
        ),
        "pairs",
        ends=(TOOL_CALL_END,),
    ),
    Syntax(
        "Kimi K2",
        (("<|tool_call_begin|>", SPACE, NAME, SPACE, "<|tool_call_argument_begin|>", SPACE, BODY, "{"),),
        "arguments",
        wraps=_KIMI_SECTION,
        closes=_KIMI_END,
    ),
    Syntax(
        "Mistral",
        (
            *_behind("[TOOL_CALLS]", SPACE, BODY, "[", SPACE),
            *_behind("[TOOL_CALLS]", SPACE, BODY),
        ),
        "calls",
    ),
    Syntax(
        "Mistral, named",
        (
            ("[TOOL_CALLS]", SPACE, NAME, SPACE, BODY, "{"),
            ("[TOOL_CALLS]", SPACE, NAME, SPACE, "[ARGS]", SPACE, BODY, "{"),
            ("[TOOL_CALLS]", SPACE, NAME, SPACE, "[CALL_ID]", _WORD, "[ARGS]", SPACE, BODY, "{"),
        ),
        "arguments",
    ),
    Syntax(
        "DeepSeek V3, R1",
        (
            (_DEEPSEEK_CALL, SPACE, "function", _DEEPSEEK_NAME, *_FENCED),
            *((section, SPACE, "function", _DEEPSEEK_NAME, *_FENCED) for section in _DEEPSEEK_SECTION),
        ),
        "arguments",
        wraps=_DEEPSEEK_SECTION,
        closes=("```", *_DEEPSEEK_END),
    ),
    Syntax(
        "DeepSeek V3.1",
        ((_DEEPSEEK_CALL, SPACE, NAME, _DEEPSEEK_NAME, SPACE, BODY, "{"),),
        "arguments",
        wraps=_DEEPSEEK_SECTION,
        closes=_DEEPSEEK_END,
    ),
    Syntax(
        "DeepSeek V3.2",
        (("<｜DSML｜invoke", *_INVOKE, BODY, SPACE, "<"),),
        "parameters",
        wraps=_DSML_SECTION,
        closes=_DSML_END,
        ends=("</｜DSML｜invoke>", *_DSML_END),
    ),
    Syntax(
        "DeepSeek V3.2, JSON",
        (("<｜DSML｜invoke", *_INVOKE, SPACE, BODY, "{"),),
        "arguments",
        wraps=_DSML_SECTION,
        closes=("</｜DSML｜invoke>", *_DSML_END),
    ),
    Syntax(
        "MiniMax M2",
        (("<invoke", *_INVOKE, BODY, SPACE, "<"),),
        "parameters",
        wraps=_INVOKE_SECTION,
        closes=_INVOKE_SECTION_END,
        ends=("</invoke>", *_INVOKE_SECTION_END),
    ),
    Syntax(
        "Harmony",
        (
            *_behind("<|channel|>", _CHANNEL, *_TO, heads=_CONTENT),
            *_behind("<|start|>assistant", *_TO, "<|channel|>", _REST, heads=_CONTENT),
        ),
        "arguments",
        wraps=("<|start|>assistant",),
        closes=("<|call|>", "<|end|>", "<|return|>"),
    ),
    Syntax(
        "Llama 3",
        _behind("<|python_tag|>", SPACE, BODY),
        "calls",
        closes=(";", "<|eom_id|>", "<|eot_id|>"),
        more=_behind(BODY, heads=_CALLS),
    ),
    Syntax(
        "Llama 4",
        (("<|python_start|>", SPACE, BODY, "[", SPACE, IDENTIFIER, "("),),
        "python",
        closes=("<|python_end|>",),
    ),
)
"""What is a call wherever it stands in a text."""

ALONE: Final = (
    Syntax("objects", _behind(BODY, heads=_CALLS), "calls", closes=(";",), more=_behind(BODY, heads=_CALLS)),
    Syntax("a list of objects", _behind(BODY, "[", SPACE, heads=_CALLS), "calls"),
    Syntax("Python", ((BODY, "[", SPACE, IDENTIFIER, "("),), "python"),
)
"""What is a call only when it is all of a text."""
