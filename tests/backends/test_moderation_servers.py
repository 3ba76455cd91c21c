"""Servers that judge, as they are: fewer categories, other names, odd answers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.moderators import CATEGORIES, ServedModerator

from antiphon.backends.moderations import RemoteJudge
from antiphon.model import ImagePart, TextPart
from antiphon.protocol.errors import UpstreamError
from antiphon.protocol.moderation import Verdict

TEXT = (TextPart("a bomb"),)
PIXEL = ImagePart("data:image/png;base64,AAAA")


@pytest.fixture
def moderator() -> Iterator[ServedModerator]:
    with ServedModerator({"bomb": "illicit/violent"}) as moderator:
        yield moderator


@pytest.fixture
async def judge(moderator: ServedModerator) -> AsyncIterator[RemoteJudge]:
    judge = RemoteJudge(f"{moderator.url}/v1/", "m")
    yield judge
    await judge.close()


async def only(judge: RemoteJudge) -> Verdict:
    (verdict,) = (await judge.judge([TEXT])).verdicts
    return verdict


def flagged(verdict: Verdict) -> list[str]:
    return [name for name, is_so in verdict.categories.items() if is_so]


async def test_a_server_with_fewer_categories_has_the_others_unflagged(
    judge: RemoteJudge, moderator: ServedModerator
) -> None:
    row = {"flagged": True, "categories": {"hate": True}, "category_scores": {"hate": 0.7}}
    moderator.answer = {"results": [row]}
    verdict = await only(judge)

    assert tuple(verdict.categories) == tuple(verdict.category_scores) == CATEGORIES
    assert (flagged(verdict), verdict.category_scores["hate"]) == (["hate"], 0.7)
    assert verdict.category_applied_input_types["hate"] == ["text"]


async def test_other_names_are_those_of_openai_and_the_rest_stays(
    judge: RemoteJudge, moderator: ServedModerator
) -> None:
    names = ("selfharm", "hate_and_discrimination", "pii", "law")
    found = {name: name in ("selfharm", "pii") for name in names}
    scores = {name: 0.8 if found[name] else 0.1 for name in names}
    moderator.answer = {
        "id": "1",
        "model": "mistral",
        "results": [{"categories": found, "category_scores": scores}],
    }
    verdict = await only(judge)

    assert (verdict.flagged, flagged(verdict)) == (True, ["self-harm", "pii"])
    assert (verdict.category_scores["hate"], verdict.category_scores["pii"]) == (0.1, 0.8)
    assert "selfharm" not in verdict.categories


async def test_what_is_null_is_not_flagged(judge: RemoteJudge, moderator: ServedModerator) -> None:
    row = {"flagged": False, "categories": {"illicit": None}, "category_scores": {"illicit": None}}
    moderator.answer = {"results": [row | {"category_applied_input_types": None}]}
    verdict = await only(judge)
    assert (verdict.flagged, flagged(verdict), verdict.category_scores["illicit"]) == (False, [], 0.0)


@pytest.mark.parametrize(
    "answer",
    [{}, [], "no", {"results": []}, {"results": [{}]}, {"results": [{"categories": {}}, {"categories": {}}]}],
    ids=str,
)
async def test_an_answer_without_its_verdicts_is_a_fault(
    judge: RemoteJudge, moderator: ServedModerator, answer: Any
) -> None:
    moderator.answer = answer
    with pytest.raises(UpstreamError, match=r"\[moderation\] names the server"):
        await only(judge)


async def test_a_server_that_takes_fewer_texts_gets_fewer(
    judge: RemoteJudge, moderator: ServedModerator
) -> None:
    moderator.most = 3
    texts = [(TextPart(f"{number} bomb" if number == 4 else str(number)),) for number in range(10)]
    verdicts = (await judge.judge(texts)).verdicts
    assert [index for index, verdict in enumerate(verdicts) if verdict.flagged] == [4]


async def test_verdicts_stand_in_the_order_of_what_was_asked(
    judge: RemoteJudge, moderator: ServedModerator
) -> None:
    contents = [(TextPart("Hi"),), (PIXEL,), TEXT, (TextPart("a bomb"), PIXEL)]
    verdicts = (await judge.judge(contents)).verdicts
    assert [verdict.flagged for verdict in verdicts] == [False, False, True, True]
