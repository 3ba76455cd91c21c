"""What is recorded of upstreams, and for how long, as the configuration says."""

from collections.abc import Awaitable, Callable, Sequence

from antiphon.config import Config
from antiphon.engine.recorder import Recorder, Rules
from antiphon.store.recordings import Recordings
from antiphon.store.retention import DAY, Retention, RetentionRule
from antiphon.store.store import Store


def recorder_of(config: Config, recordings: Recordings) -> Recorder | None:
    """None: nothing is recorded."""
    which = config.dashboard.records(config.server)
    if which == "off":
        return None
    rules = Rules(which=which, most_bytes=config.dashboard.record_bytes, silent=frozenset(silent(config)))
    return Recorder(recordings, rules)


def sweeps_of(config: Config, store: Store) -> Sequence[Callable[[], Awaitable[object]]]:
    """What takes recordings away that are too old, too many, or no longer wished for."""
    settings, recordings = config.dashboard, store.recordings
    days = RetentionRule("recordings", settings.record_days * DAY, recordings.expire, batch=200)

    async def trim() -> None:
        await recordings.trim(settings.record_bytes)
        for project in silent(config):
            await recordings.forget(project)

    return Retention([days]).sweep, trim


def silent(config: Config) -> Sequence[str]:
    """Projects of which nothing is recorded."""
    return [name for name, project in config.projects.items() if not project.record]
