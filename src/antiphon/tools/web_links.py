"""Links to pages that the model was given: they become citations, as they stand.

A model that cites by marks needs none of this (`citations`). Many write links, since that is what they were
trained to do.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from antiphon.protocol.content import UrlCitation
from antiphon.stream.filters import Annotated, Filtered
from antiphon.web.domains import domain_of

_LABEL = r"\[[^\[\]\n]{0,300}\]"
_TARGET = r"https?://[^\s()<>]{1,2000}(?:\([^\s()<>]{0,300}\)[^\s()<>]{0,300})?"
_LINK = re.compile(rf"\(?{_LABEL}\(<?({_TARGET})>?(?:\s+\"[^\"\n]{{0,200}}\")?\)")
_BARE = re.compile(r"https?://[^\s<>\[\](){}\"'`|\\^]{1,2000}")
_OPENS = re.compile(
    r"\(?\[(?=[^\[\]\n]{0,300}(?:\](?:\((?:<?(?:https?://|h?t{0,2}p?s?:?/{0,2}\Z))|\Z)|\Z))"
    r"|\(\Z|\bh(?=ttps?://|t{0,2}p?s?:?/{0,2}\Z)"
)
_LINK_BEGUN = re.compile(
    r"\(?(?:\[[^\[\]\n]{0,300}(?:\](?:\([^\s()]{0,2100}(?:\([^\s()]{0,300}\)?[^\s()]{0,300})?(?:\s+(?:\"[^\"\n]{0,200}\"?)?)?)?)?)?\Z"
)
_BARE_BEGUN = re.compile(r"h(?:t(?:t(?:p(?:s?(?::(?:/(?:/[^\s<>\[\](){}\"'`|\\^]{0,2000})?)?)?)?)?)?)?\Z")
_PUNCTUATION = ".,;:!?*_~"


class Link(NamedTuple):
    """A page that can be cited."""

    url: str
    title: str

    @property
    def shown(self) -> str:
        """What stands in place of a mark, as on the real API."""
        return f"([{domain_of(self.url)}]({_escaped(self.url)}))"

    def cited(self, start: int, end: int) -> UrlCitation:
        return UrlCitation(url=self.url, title=self.title, start_index=start, end_index=end)


Known = Callable[[str], Link | None]
"""The page behind a URL, if the model was given it."""


class WebLinks:
    """A `TextFilter`: links to known pages are annotated. All other text is left as it is."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._held = ""
        self._last = ""
        """The character in front of what is held."""

    def feed(self, text: str) -> Sequence[Filtered]:
        text, self._held = self._held + text, ""
        found = list(self._found(text, _may_grow))
        self._last = text[: len(text) - len(self._held)][-1:] or self._last
        return found

    def end(self) -> Sequence[Filtered]:
        text, self._held = self._held, ""
        return list(self._found(text, _is_whole))

    def _found(self, text: str, may_grow: Callable[[str, int], bool]) -> Iterator[Filtered]:
        done = place = 0
        while opened := _OPENS.search(text, place):
            place = opened.start()
            if place == 0 and text[0] == "h" and (self._last.isalnum() or self._last == "_"):
                place = 1  # the end of a word that was cut
                continue
            if may_grow(text, place):
                self._held = text[place:]
                yield text[done:place]
                return
            found = self._link(text, place)
            if found is None:
                bare = _BARE.match(text, place)
                place = bare.end() if bare is not None else place + 1  # what stands in an address is none
                continue
            yield text[done:place]
            yield found
            done = place = place + len(found.text)
        yield text[done:]

    def _link(self, text: str, place: int) -> Annotated | None:
        """The link to a known page that begins there."""
        if whole := _LINK.match(text, place):
            end, url = whole.end(), whole[1]
            enclosed = text[place] == "("
            if enclosed and text[end : end + 1] == ")":
                end += 1
            elif enclosed:
                return None  # the parenthesis is open for more than the link, which is found behind it
        elif bare := _BARE.match(text, place):
            url = bare[0].rstrip(_PUNCTUATION)
            end = place + len(url)
        else:
            return None
        page = self._known(url)
        return Annotated(text[place:end], page.cited) if page is not None else None


def _may_grow(text: str, place: int) -> bool:
    """Whether what begins there may become a link, or a longer one, with the text that follows."""
    if text[place] == "h":
        return _BARE_BEGUN.match(text, place) is not None
    if whole := _LINK.match(text, place):
        return text[place] == "(" and whole.end() == len(text)
    return _LINK_BEGUN.match(text, place) is not None


def _is_whole(_text: str, _place: int) -> bool:
    """Nothing follows."""
    return False


def _escaped(url: str) -> str:
    """An address of `domains`, as it may stand between parentheses."""
    return url.replace("(", "%28").replace(")", "%29")
