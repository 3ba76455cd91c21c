"""Damage to JSON: what a careless or hostile client makes of a request that was good."""

from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

import msgspec

Json = Any

_NESTED = msgspec.Raw(b"[" * 900 + b"]" * 900)
_TOO_NESTED = msgspec.Raw(b'{"a":' * 5000 + b"1" + b"}" * 5000)
_POISON: tuple[Json, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64 - 1, 1e308, -1e-308, 0.5, "", " ", "\0", "\ufeff"),
    *(
        "null",
        "a" * 300,
        "a" * 20_000,
        "\U0001f600" * 100,
        "../../etc/passwd",
        "{{x}}",
        "%00",
        "resp_",
        "a\nb",
    ),
    *([], {}, [[]], [None], {"": ""}, {"type": None}, {"type": "x"}, {"id": 1}, [1] * 2000, _NESTED),
    *(_TOO_NESTED, msgspec.Raw(b"1" * 5000), msgspec.Raw(b'"\\ud800"'), msgspec.Raw(b"1e999")),
    *(msgspec.Raw(b'{"a":1,"a":2}'), msgspec.Raw(b"NaN"), msgspec.Raw(b"{"), msgspec.Raw(b'"\xff\xfe"')),
)


def damaged(random: Random, body: Json, others: list[Json]) -> bytes:
    """A body in which something is wrong, most likely. Parts of `others` may come to stand in it."""
    copy = msgspec.json.decode(msgspec.json.encode(body))
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        _hit(random, copy, others)
    text = msgspec.json.encode(copy)
    for _ in range(random.choice((0, 0, 0, 1, 2))):
        text = cut(random, text)
    return text


def _poison(random: Random) -> Json:
    value = random.choice(_POISON)
    return deepcopy(value) if isinstance(value, dict | list) else value


def _hit(random: Random, value: Json, others: list[Json]) -> None:
    """Damage one place of a value that holds others."""
    for _ in range(12):
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not places:
            return
        place = random.choice(places)
        inner = value[place]
        if not isinstance(inner, dict | list) or not inner or random.random() < 0.3:
            break
        value = inner
    random.choice(_BLOWS)(random, value, place, others)


def _replace(random: Random, value: Json, place: Any, others: list[Json]) -> None:
    value[place] = _poison(random)


def _delete(random: Random, value: Json, place: Any, others: list[Json]) -> None:
    del value[place]


def _add(random: Random, value: Json, place: Any, others: list[Json]) -> None:
    name = random.choice(("type", "id", "role", "content", "x", "", "tools", "schema", "$ref", "input"))
    if isinstance(value, dict):
        value[name] = _poison(random)
    else:
        value.insert(random.randint(0, len(value)), _poison(random))


def _transplant(random: Random, value: Json, place: Any, others: list[Json]) -> None:
    """A part of another request, where it may not belong."""
    part = random.choice(others)
    while isinstance(part, dict | list) and part and random.random() < 0.7:
        part = random.choice(list(part.values()) if isinstance(part, dict) else part)
    value[place] = deepcopy(part)


def _repeat(random: Random, value: Json, place: Any, others: list[Json]) -> None:
    times = random.choice((2, 3, 100))
    value[place] = [value[place]] * times


def _rename(random: Random, value: Json, place: Any, others: list[Json]) -> None:
    if isinstance(value, dict):
        value[f"{place}{random.choice(('s', '_', ' ', chr(0), 'é'))}"] = value.pop(place)


_BLOWS: tuple[Callable[[Random, Json, Any, list[Json]], None], ...] = (
    *(_replace, _replace, _replace, _delete, _add, _transplant, _transplant, _repeat, _rename),
)


def cut(random: Random, text: bytes) -> bytes:
    """The bytes, with some of them gone or others among them."""
    at = random.randint(0, len(text))
    end = min(len(text), at + random.choice((0, 1, 4, 64)))
    return text[:at] + random.randbytes(random.choice((0, 0, 1, 4))) + text[end:]
