"""Links to pages that the model was given become citations, however the text comes in."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.stream.filters import Annotated, Filtered, Filters, TextFilter
from antiphon.tools.citations import Citations, Sources
from antiphon.tools.web_links import Link, WebLinks
from antiphon.web.domains import address

PAGES = {
    url: Link(url, title)
    for url, title in (
        ("https://boats.test/float", "Boats"),
        ("https://ducks.test/a_(b)", "Ducks"),
        ("https://x.test", "X"),
    )
}


def made() -> Filters:
    sources = Sources()
    sources.add(list(PAGES.values()))
    return Filters([Citations(sources), WebLinks(lambda url: PAGES.get(url.rstrip("/")))])


def through(each: TextFilter, pieces: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """The text that comes out, and each citation: the text that it covers, and its page."""
    found: list[Filtered] = []
    for piece in pieces:
        found += each.feed(piece)
    found += each.end()
    text = ""
    cited = []
    for one in found:
        if isinstance(one, Annotated):
            annotation = one.annotation(len(text), len(text) + len(one.text))
            assert annotation is not None
            cited.append((one.text, annotation.url))  # type: ignore[union-attr]
            assert (annotation.start_index, annotation.end_index) == (len(text), len(text) + len(one.text))  # type: ignore[union-attr]
            text += one.text
        else:
            text += one
    return text, cited


BOATS = "([boats.test](https://boats.test/float))"
DUCKS = "([ducks.test](https://ducks.test/a_%28b%29))"
X = "([x.test](https://x.test))"


@pytest.mark.parametrize(
    ("text", "shown", "cited"),
    [
        ("Boats float【1】.", f"Boats float {BOATS}.", [BOATS]),
        ("Float 【1】 and 【3】", f"Float {BOATS} and {X}", [BOATS, X]),
        ("【2】", DUCKS, [DUCKS]),
        ("Float【1, 3】!", f"Float {BOATS} {X}!", [BOATS, X]),
        ("See [Boats](https://boats.test/float).", None, ["[Boats](https://boats.test/float)"]),
        ("See ([Boats](https://boats.test/float)).", None, ["([Boats](https://boats.test/float))"]),
        ("(see [Boats](https://boats.test/float) and more)", None, ["[Boats](https://boats.test/float)"]),
        ("([Boats](https://boats.test/float) and more)", None, ["[Boats](https://boats.test/float)"]),
        ('[B](https://boats.test/float "A title")', None, ['[B](https://boats.test/float "A title")']),
        ("[d](https://ducks.test/a_(b)) end", None, ["[d](https://ducks.test/a_(b))"]),
        ("At https://boats.test/float, they say", None, ["https://boats.test/float"]),
        ("At https://x.test/. So", None, ["https://x.test/"]),
        ("At https://boats.test/floating", None, []),
        ("[other](https://other.test/)", None, []),
        ("[a] (b) [c](d) h ht http :// [", None, []),
        ("[1](https://boats.test/float", None, ["https://boats.test/float"]),
        ("【9】 gone", " gone", []),
        ("𝒳 [B](https://boats.test/float)", None, ["[B](https://boats.test/float)"]),
    ],
)
def test_links_and_marks_are_cited_however_they_are_cut(
    text: str, shown: str | None, cited: list[str]
) -> None:
    whole = through(made(), [text])
    assert whole[0] == (text if shown is None else shown)
    assert [covered for covered, _ in whole[1]] == cited
    assert through(made(), list(text)) == whole
    for place in range(len(text)):
        assert through(made(), [text[:place], text[place:]]) == whole


PARTS = st.sampled_from(
    [
        *"[]()1hx .<>\n",
        *("【1】", "【", "】", '"', "https://boats.test/float", "https://", "http"),
        *("[a](https://x.test)", "([a](https://x.test))", "(https://x.test)"),
    ]
)


@given(st.lists(PARTS, max_size=30), st.data())
def test_what_comes_out_does_not_depend_on_how_the_text_was_cut(
    parts: list[str], data: st.DataObject
) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert through(made(), pieces) == through(made(), [text])


@given(st.text(st.sampled_from("[]()h ttps:/x.【】1"), max_size=200))
def test_links_alone_never_change_a_text(text: str) -> None:
    out, _ = through(WebLinks(lambda url: PAGES.get(url)), list(text))
    assert out == text


def test_a_text_that_opens_links_without_end_is_read_in_time_that_grows_with_it() -> None:
    text = "([" * 20_000 + "h" * 20_000 + "[a](" * 10_000
    out, _ = through(WebLinks(lambda url: None), [text[i : i + 50] for i in range(0, len(text), 50)])
    assert out == text
    assert re.match(r"\(\[", out)


@pytest.mark.parametrize(
    "piece",
    ["https://", "https://x/", "[a](https://", "[", "([", "[a](", "https://x(", "[a](https://x ", "h"],
)
def test_a_text_that_comes_in_one_piece_holds_nobody_up(piece: str) -> None:
    links, text = WebLinks(lambda url: None), piece * (200_000 // len(piece))
    begun = time.process_time()

    out, _ = through(links, [text])

    assert out == text
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "url",
    [
        "https://x.test/a(b)",
        "https://x.test/\\",
        "https://x.test/a b",
        'https://x.test/" onclick="x',
        "https://x.test/](https://evil.test)",
        "https://x.test/【2】",
        "https://bücher.test/`a`<b>",
        "https://x.test/a\\)[b](https://evil.test",
    ],
)
def test_what_is_shown_of_a_page_is_one_link_whatever_its_address(url: str) -> None:
    known = address(url)
    assert known is not None
    shown = Link(known, "A page").shown
    assert re.fullmatch(r"\(\[[a-z0-9.-]+\]\(https://[^\s()\[\]<>\\`\"【】]+\)\)", shown)


def test_a_word_that_ends_like_an_address_is_none_however_it_is_cut() -> None:
    text = f"x{next(iter(PAGES))} "
    for place in range(len(text)):
        assert through(made(), [text[:place], text[place:]]) == through(made(), [text])
