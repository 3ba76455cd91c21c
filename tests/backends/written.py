"""How models write calls as text: one function for each syntax of docs/internals/upstreams.md section 8."""

import json
from collections.abc import Callable, Sequence
from typing import Any

Called = tuple[str, dict[str, Any]]
Writer = Callable[[Sequence[Called]], str]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> str:
    """As models write it between tags: a string is itself."""
    return value if isinstance(value, str) else _json(value)


def _each(write: Callable[[str, dict[str, Any]], str], before: str = "", after: str = "") -> Writer:
    return lambda calls: before + "\n".join(write(name, arguments) for name, arguments in calls) + after


def _object(name: str, arguments: dict[str, Any], key: str = "arguments") -> str:
    return f'{{"name": "{name}", "{key}": {_json(arguments)}}}'


def _parameters(arguments: dict[str, Any]) -> str:
    return "".join(f"<parameter={key}>\n{_plain(value)}\n</parameter>\n" for key, value in arguments.items())


def _named(arguments: dict[str, Any]) -> str:
    return "".join(
        f'<parameter name="{key}">{_plain(value)}</parameter>\n' for key, value in arguments.items()
    )


def _dsml(name: str, arguments: dict[str, Any]) -> str:
    parameters = "".join(
        f'<｜DSML｜parameter name="{key}" string="{_json(isinstance(value, str))}">{_plain(value)}'
        "</｜DSML｜parameter>\n"
        for key, value in arguments.items()
    )
    return f'<｜DSML｜invoke name="{name}">\n{parameters}</｜DSML｜invoke>'


def _pairs(arguments: dict[str, Any]) -> str:
    return "".join(
        f"<arg_key>{key}</arg_key>\n<arg_value>{_plain(value)}</arg_value>\n"
        for key, value in arguments.items()
    )


def _python(name: str, arguments: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def _qwen(name: str, arguments: dict[str, Any]) -> str:
    return f"<function={name}>\n{_parameters(arguments)}</function>"


def _kimi(name: str, arguments: dict[str, Any]) -> str:
    return (
        f"<|tool_call_begin|>functions.{name}:0<|tool_call_argument_begin|>{_json(arguments)}"
        "<|tool_call_end|>"
    )


_V3 = "<｜tool▁call▁begin｜>"
_SEP = "<｜tool▁sep｜>"
_V3_END = "<｜tool▁call▁end｜>"

JSON: dict[str, Writer] = {
    "Hermes": _each(lambda f, a: f"<tool_call>\n{_object(f, a)}\n</tool_call>"),
    "Hermes, with parameters": _each(lambda f, a: f"<tool_call>{_object(f, a, 'parameters')}</tool_call>"),
    "Hermes, unclosed": _each(lambda f, a: f"<tool_call>\n{_object(f, a)}"),
    "Hermes, arguments first": _each(
        lambda f, a: f'<tool_call>{{"arguments": {_json(a)}, "name": "{f}"}}</tool_call>'
    ),
    "Llama functions": _each(lambda f, a: f"<function={f}>{_json(a)}</function>"),
    "Kimi K2": _each(_kimi, "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
    "Kimi K2, without a section": _each(_kimi),
    "Mistral": lambda calls: f"[TOOL_CALLS][{', '.join(_object(f, a) for f, a in calls)}]",
    "Mistral, ARGS": _each(lambda f, a: f"[TOOL_CALLS]{f}[ARGS]{_json(a)}"),
    "Mistral, CALL_ID": _each(lambda f, a: f"[TOOL_CALLS]{f}[CALL_ID]abcDEF123[ARGS]{_json(a)}"),
    "Mistral, bare": _each(lambda f, a: f"[TOOL_CALLS]{f}{_json(a)}"),
    "DeepSeek V3": _each(
        lambda f, a: f"{_V3}function{_SEP}{f}\n```json\n{_json(a)}\n```{_V3_END}",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
    ),
    "DeepSeek V3.1": _each(
        lambda f, a: f"{_V3}{f}{_SEP}{_json(a)}{_V3_END}", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
    ),
    "DeepSeek V3.2, JSON": _each(
        lambda f, a: f'<｜DSML｜invoke name="{f}">\n{_json(a)}\n</｜DSML｜invoke>',
        "<｜DSML｜function_calls>\n",
        "\n</｜DSML｜function_calls>",
    ),
    "Harmony": _each(
        lambda f, a: f"<|channel|>commentary to=functions.{f} <|constrain|>json<|message|>{_json(a)}<|call|>"
    ),
    "Harmony, without a constraint": _each(
        lambda f, a: f"<|channel|>commentary to=functions.{f} json<|message|>{_json(a)}<|call|>"
    ),
    "Harmony, to a role": _each(
        lambda f, a: (
            f"<|start|>assistant to=functions.{f}<|channel|>commentary "
            f"<|constrain|>json<|message|>{_json(a)}<|call|>"
        )
    ),
    "Llama 3": lambda calls: "<|python_tag|>" + "; ".join(_object(f, a, "parameters") for f, a in calls),
}
"""Syntaxes with arguments in JSON."""

TAGGED: dict[str, Writer] = {
    "Qwen-Coder": _each(lambda f, a: f"<tool_call>\n{_qwen(f, a)}\n</tool_call>"),
    "Qwen-Coder, without tool_call": _each(_qwen),
    "Qwen-Coder, without the end of the function": _each(
        lambda f, a: f"<tool_call>\n<function={f}>\n{_parameters(a)}</tool_call>"
    ),
    "Seed": _each(lambda f, a: f"<seed:tool_call>\n{_qwen(f, a)}\n</seed:tool_call>"),
    "GLM": _each(lambda f, a: f"<tool_call>{f}\n{_pairs(a)}</tool_call>"),
    "DeepSeek V3.2": _each(_dsml, "<｜DSML｜function_calls>\n", "\n</｜DSML｜function_calls>"),
    "DeepSeek V4": _each(_dsml, "<｜DSML｜tool_calls>\n", "\n</｜DSML｜tool_calls>"),
    "MiniMax M2": _each(
        lambda f, a: f'<invoke name="{f}">\n{_named(a)}</invoke>',
        "<minimax:tool_call>\n",
        "\n</minimax:tool_call>",
    ),
}
"""Syntaxes with arguments between tags."""

MARKED: dict[str, Writer] = {
    **JSON,
    **TAGGED,
    "Llama 4": lambda calls: f"<|python_start|>[{', '.join(_python(f, a) for f, a in calls)}]<|python_end|>",
}
"""Syntaxes that begin with a mark: they may stand anywhere in a text."""

ALONE: dict[str, Writer] = {
    "objects": _each(lambda f, a: _object(f, a, "parameters")),
    "objects with a type": _each(
        lambda f, a: f'{{"type": "function", "name": "{f}", "parameters": {_json(a)}}}'
    ),
    "a list of objects": lambda calls: f"[{', '.join(_object(f, a) for f, a in calls)}]",
    "Python": lambda calls: f"[{', '.join(_python(f, a) for f, a in calls)}]",
}
"""Syntaxes without a mark: only as all of a text."""
