"""From two lists, one of meaning and one of words, to the results of a search.

Every score is between 0 and 1, and does not depend on what else was found, so that a threshold means the same
for every question:

- A cosine counts as it is; what points away is 0.
- Words count by how much of the question they are (`lexical.Expression.share`).
- The two are weighted and added. What only one list has found has no more than its weight.

Scores rank better than ranks do (reciprocal rank fusion): retrieval.md has the figures.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

EMBEDDING_WEIGHT = 0.6
TEXT_WEIGHT = 0.4
DEPTH = 100
"""So many of each list are looked at, or more when more results are wanted."""


class Weights(Struct, frozen=True):
    """How much meaning and words count, in relation to each other: what a request says as `hybrid_search`.
    One of them is above 0, none is below."""

    embedding: float = EMBEDDING_WEIGHT
    text: float = TEXT_WEIGHT


DEFAULT = Weights()
DENSE = Weights(1.0, 0.0)
"""Meaning alone: what `ranker: none` asks for."""


class Found(Struct, frozen=True):
    """A part of a file that answers."""

    file: str
    start: int
    end: int
    """Characters of the file's text."""
    text: str
    score: float


def scored(
    cosines: Mapping[int, float], words: Mapping[int, float], weights: Weights
) -> list[tuple[int, float]]:
    """Keys with their scores, the best first. `cosines` and `words` (shares of the question) are of the keys
    that each list has found."""
    total = weights.embedding + weights.text
    scores = dict.fromkeys(cosines, 0.0) | dict.fromkeys(words, 0.0)
    for key, cosine in cosines.items():
        scores[key] += weights.embedding / total * min(max(cosine, 0.0), 1.0)
    for key, share in words.items():
        scores[key] += weights.text / total * share
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def best(lists: Iterable[Sequence[tuple[int, float]]]) -> list[tuple[int, float]]:
    """Of several questions: each key with the best of its scores."""
    scores: dict[int, float] = {}
    for ranked in lists:
        for key, score in ranked:
            scores[key] = max(score, scores.get(key, 0.0))
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def merged(ranked: Iterable[Found], count: int, threshold: float = 0.0) -> list[Found]:
    """The first `count` results, of at least that score. Those of one file that overlap are one result, in
    the place and with the score of the better one. No more of `ranked` is taken than is needed."""
    results: list[Found] = []
    for found in ranked:
        if found.score < threshold:
            break
        touching = [known for known in results if _overlap(known, found)]
        if not touching:
            if len(results) == count:
                break
            results.append(found)
            continue
        results[results.index(touching[0])] = _joined([*touching, found])
        for known in touching[1:]:
            results.remove(known)
    return results


def _overlap(one: Found, other: Found) -> bool:
    return one.file == other.file and one.start < other.end and other.start < one.end


def _joined(parts: Sequence[Found]) -> Found:
    """One part of all, of which the first is the best. Each overlaps with another one."""
    left, *others = sorted(parts, key=lambda part: part.start)
    text, end = left.text, left.end
    for part in others:
        text += part.text[end - part.start :]
        end = max(end, part.end)
    return replace(parts[0], start=left.start, end=end, text=text)
