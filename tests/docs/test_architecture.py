"""The plan of the house names what there is."""

import re

import pytest
from tests.docs.reading import ROOT, read

PAGE = "docs/internals/architecture.md"
HOUSE = ROOT / "src" / "antiphon"
AWAITED = {"engine/queue.py", "stream/kinds.py", "ItemKind", "Run.execute", "ToolCall", "ToolProvider"}
"""What the page says already and the code does not have yet. Take out what has come."""

_QUOTED = re.compile(r"`([^`\n]+)`")


def quoted() -> list[str]:
    text = re.sub(r"^```.*?^```$", "", read(PAGE), flags=re.DOTALL | re.MULTILINE)
    return sorted(set(_QUOTED.findall(text)))


def paths() -> list[str]:
    return [name for name in quoted() if re.fullmatch(r"[\w./]*(/|\.py|\.toml)", name)]


def types() -> list[str]:
    return [name for name in quoted() if re.fullmatch(r"[A-Z]\w*[a-z]\w*(\.\w+)?", name)]


def known(name: str) -> bool:
    if name in paths():
        return any((root / name).exists() for root in (HOUSE, ROOT))
    of, _, member = name.partition(".")
    for file in HOUSE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if re.search(rf"^(class {of}\b|{of} = )", text, re.MULTILINE):
            return not member or f"def {member}(" in text
    return False


def test_the_page_names_places_and_types() -> None:
    assert len(paths()) > 20
    assert len(types()) > 15


@pytest.mark.parametrize("name", [*paths(), *types()])
def test_what_the_page_names_is_there(name: str) -> None:
    assert known(name) == (name not in AWAITED)


def test_every_room_has_its_row() -> None:
    rooms = {place.name for place in HOUSE.iterdir() if (place / "__init__.py").exists()}
    rows = set(re.findall(r"^\| `(\w+)/`", read(PAGE), re.MULTILINE)) | {"cli"}

    assert rows == rooms


def test_the_order_of_the_rooms_is_the_one_that_is_checked() -> None:
    layers = re.search(r"^layers = \[(.*?)^\]", read("pyproject.toml"), re.DOTALL | re.MULTILINE)
    assert layers
    order = [layer.replace("antiphon.", "") for layer in re.findall(r'"(.*?)"', layers[1])]

    assert "\n".join(order) in read(PAGE)
