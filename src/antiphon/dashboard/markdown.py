"""What models write, as HTML: markdown sanitised, code coloured by classes. Nothing in it runs, loads
anything or has a style of its own."""

from functools import cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

MOST = 50_000
"""Characters of a text that is shown with its form; a longer one is shown as it is. The parser takes half a
second for the worst of this length, and four times as long for twice as much."""
_MOST_CODE = 3_000
"""Characters of code that are coloured: for the worst texts many languages take four times as long for twice
as much. JSON does not."""
_TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "blockquote", "ul", "ol", "li", "code", "pre", "span", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "span": {"class"}, "code": {"class"}, "ol": {"start"}}


def markdown(text: str) -> Markup:
    """A text as markdown. Pictures of it are links: a page loads nothing from elsewhere."""
    if len(text) > MOST:
        return Markup('<pre class="plain">{}</pre>').format(text)
    made = _parser().render(text)
    clean = nh3.clean(
        made,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(clean)


def code(text: str, language: str = "") -> Markup:
    """A text as code, with a class for each kind of token."""
    return Markup('<pre class="code"><code>{}</code></pre>').format(Markup(_coloured(text, language, "")))


def _coloured(text: str, language: str, _attributes: str) -> str:
    if len(text) > (MOST if language == "json" else _MOST_CODE):
        return str(escape(text))
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return str(escape(text))
    return str(highlight(text, lexer, HtmlFormatter(nowrap=True)))


@cache
def _parser() -> MarkdownIt:
    made = MarkdownIt("js-default", {"html": False, "linkify": False, "highlight": _coloured})
    return made.disable("image")
