"""Text whose characters were cut in half: a pair of surrogates in two chunks, or half a pair alone."""


class PairJoiner:
    """Joins halves that meet; one that stays alone becomes U+FFFD. Each channel is a text of its own."""

    __slots__ = ("_high",)

    def __init__(self) -> None:
        self._high: dict[str, str] = {}

    def __bool__(self) -> bool:
        """Whether a half waits for its other half."""
        return bool(self._high)

    def join(self, channel: str, text: str | None) -> str | None:
        """The text with what waited in front; a half at its end waits."""
        if not text:
            return text
        text = self._high.pop(channel, "") + text
        if "\ud800" <= text[-1] <= "\udbff":
            self._high[channel] = text[-1]
            text = text[:-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def rest(self) -> dict[str, str]:
        """What stayed alone in each channel, readable."""
        alone, self._high = dict.fromkeys(self._high, "\ufffd"), {}
        return alone
