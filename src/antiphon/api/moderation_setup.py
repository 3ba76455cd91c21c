"""What judges texts and images, as the configuration says."""

from functools import partial

from antiphon.api.surroundings import secret
from antiphon.backends.moderations import RemoteJudge
from antiphon.backends.router import Router
from antiphon.config.model_settings import Moderation
from antiphon.engine.moderating.guards import GUARDS, guard_of
from antiphon.engine.moderating.judge import ChatJudge
from antiphon.engine.moderating.moderator import Moderator
from antiphon.guard.pool import Pool
from antiphon.model.moderation import Judge
from antiphon.tools.schema import Schema


def moderator_of(settings: Moderation, router: Router, children: Pool) -> Moderator | None:
    """With its key read from the environment; None: nothing is set up. `children` check what a model
    writes."""
    judge = _judge(settings, router, children)
    return None if judge is None else Moderator(judge, settings.characters, settings.seconds)


def _judge(settings: Moderation, router: Router, children: Pool) -> Judge | None:
    if settings.judge is not None:
        guard = GUARDS.get(settings.form)
        form = guard_of if settings.form == "auto" else lambda _: guard
        return ChatJudge(router, settings.judge, form, partial(Schema, pool=children))
    if settings.base_url is not None and settings.model is not None:
        return RemoteJudge(settings.base_url, settings.model, secret(settings.api_key_env))
    return None
