"""How pages write what models and clients wrote, whatever it is."""

import pytest

from antiphon.dashboard.markdown import MOST, code, markdown
from antiphon.dashboard.shown import pretty, web_address


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, "{", "NaN", ""])
def test_what_is_no_json_that_can_be_read_is_shown_as_it_is(text: str) -> None:
    assert pretty(text) == text


def test_json_in_a_text_is_shown_indented() -> None:
    assert pretty('{"a":[1]}') == '{\n  "a": [\n    1\n  ]\n}'


def test_a_text_that_would_take_too_long_is_shown_without_its_form() -> None:
    assert "<em>" in markdown("*a*" + " " * 10)
    long = "*a* <b>" * MOST
    assert markdown(long).startswith('<pre class="plain">*a* &lt;b&gt;')


def test_code_of_an_unknown_language_is_escaped() -> None:
    assert code("<b>", "nothing") == '<pre class="code"><code>&lt;b&gt;</code></pre>'


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//a.example", "http://[", 5, None]
)
def test_only_an_address_of_the_web_is_a_link(url: object) -> None:
    assert web_address(url) is None
    assert web_address("https://a.example/x") == "https://a.example/x"


def test_long_code_is_coloured_where_that_takes_no_longer_than_its_length() -> None:
    assert "span" not in code("a<" * 3_000, "java")
    assert "span" in code("[" + "1, " * 3_000 + "1]", "json")
