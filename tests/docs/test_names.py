"""The plan of the house and the guide for contributors name what there is."""

import builtins
import re
from collections import Counter

import pytest
from tests.docs.reading import ROOT, read

PAGE = "docs/internals/architecture.md"
GUIDE = "CONTRIBUTING.md"
HOUSE = ROOT / "src" / "antiphon"
AWAITED: frozenset[str] = frozenset()
"""What they say already and the code does not have yet. Take out what has come."""

_QUOTED = re.compile(r"`([^`\n]+)`")


def quoted(page: str) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.DOTALL | re.MULTILINE)
    return sorted(set(_QUOTED.findall(text)))


def paths(page: str) -> list[str]:
    return [name for name in quoted(page) if re.fullmatch(r"[\w./]*(/|\.py|\.toml)", name)]


def types(page: str) -> list[str]:
    types = (name for name in quoted(page) if re.fullmatch(r"[A-Z]\w*[a-z]\w*(\.\w+)?", name))
    return [name for name in types if not hasattr(builtins, name)]


def is_there(name: str) -> bool:
    if "/" in name or name.endswith((".py", ".toml")):
        return any((place / name).exists() for place in (HOUSE, ROOT))
    of, _, member = name.partition(".")
    for file in (*HOUSE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        named = re.search(rf"^(class {of}\b|{of} = )", text, re.MULTILINE)
        if named and (not member or f"def {member}(" in text):
            return True
    return False


def test_the_page_names_places_and_types() -> None:
    assert len(paths(PAGE)) > 20
    assert len(types(PAGE)) > 15


@pytest.mark.parametrize("page", [PAGE, GUIDE])
def test_what_a_page_names_is_there(page: str) -> None:
    named = [*paths(page), *types(page)]

    assert [name for name in named if not is_there(name)] == [name for name in named if name in AWAITED]


def test_every_room_has_its_row() -> None:
    rooms = {place.name for place in HOUSE.iterdir() if (place / "__init__.py").exists()}
    rows = set(re.findall(r"^\| `(\w+)/`", read(PAGE), re.MULTILINE)) | {"cli"}

    assert rows == rooms


def test_the_order_of_the_rooms_is_the_one_that_is_checked() -> None:
    layers = re.search(r"^layers = \[(.*?)^\]", read("pyproject.toml"), re.DOTALL | re.MULTILINE)
    assert layers
    order = [layer.replace("antiphon.", "") for layer in re.findall(r'"(.*?)"', layers[1])]

    assert "\n".join(order) in read(PAGE)


def test_each_file_of_tests_has_a_name_of_its_own() -> None:
    """Of two that are called alike the second one is not collected, which only a run of all of them shows."""
    names = Counter(file.name for file in (HOUSE.parents[1] / "tests").rglob("test_*.py"))

    assert [name for name, times in names.items() if times > 1] == []
