"""When a webhook that failed is sent again."""

import pytest

from antiphon.webhooks.schedule import DELAYS, LONGEST_WISH, next_attempt, seconds_asked

NOW = 1_700_000_000.0


def half() -> float:
    return 0.5


def test_each_failure_is_waited_for_longer_than_the_one_before() -> None:
    waits = [next_attempt(n, NOW, chance=half) for n in range(1, len(DELAYS) + 1)]

    assert waits == [NOW + delay for delay in DELAYS]
    assert sorted(DELAYS) == list(DELAYS)
    assert (DELAYS[0], DELAYS[-1]) == (5, 86400)


def test_it_is_tried_for_about_three_days() -> None:
    assert 71 * 3600 < sum(DELAYS) <= 72 * 3600
    assert next_attempt(len(DELAYS) + 1, NOW) is None


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 4.5), (0.5, 5.0), (1.0, 5.5)])
def test_what_failed_together_does_not_come_back_together(chance: float, wait: float) -> None:
    assert next_attempt(1, NOW, chance=lambda: chance) == NOW + wait


@pytest.mark.parametrize(
    ("asked", "wait"), [(None, 5.0), (0.0, 5.0), (90.0, 90.0), (10 * LONGEST_WISH, LONGEST_WISH)]
)
def test_an_endpoint_can_ask_for_more_time_but_not_for_ever(asked: float | None, wait: float) -> None:
    assert next_attempt(1, NOW, asked, chance=half) == NOW + wait


def test_an_endpoint_cannot_ask_for_more_attempts() -> None:
    assert next_attempt(len(DELAYS) + 1, NOW, 60.0) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:12:20 GMT", 0.0),
        ("9" * 50, 999_999_999.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert seconds_asked(header, NOW) == seconds
