"""Where code from models runs, by the configuration."""

from pathlib import Path

from antiphon.api.surroundings import reachable, secret
from antiphon.config import Config
from antiphon.containers.rules import Rules
from antiphon.sandbox.open import Options


def sandbox_options(config: Config) -> Options:
    """What sandboxes are made with, and from what."""
    settings, own = config.sandbox, config.sandbox.environment
    return Options(
        data_dir=Path(config.data_dir),
        driver=settings.driver,
        environment=Path(own).expanduser().absolute() if own else None,
        url=settings.url or "",
        token=secret(settings.token_env),
        kernel=settings.kernel,
        warm=settings.warm,
        reachable=reachable(config.outbound),
    )


def container_rules(config: Config) -> Rules:
    """What containers may have."""
    settings = config.sandbox
    return Rules(
        idle_minutes=settings.idle_minutes,
        memory_mb=settings.memory_mb,
        disk_mb=settings.disk_mb,
        processes=settings.processes,
        seconds=settings.seconds,
        sandboxes=settings.containers,
        project_sandboxes=settings.project_containers,
        file_bytes=config.limits.file_bytes,
    )
