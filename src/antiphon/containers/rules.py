"""What the operator lets containers have."""

from msgspec import Struct

from antiphon.sandbox.base import Limits

MEMORY_MB = {"1g": 1024, "4g": 4096, "16g": 16_384, "64g": 65_536}
SMALLEST = "1g"


class Rules(Struct, frozen=True, kw_only=True):
    """The defaults are those of `[sandbox]`."""

    idle_minutes: int = 20
    """Without a use, after which a container expires; requests may ask for less."""
    memory_mb: int = 1024
    """The most that a request may ask for."""
    disk_mb: int = 512
    processes: int = 128
    seconds: float = 120.0
    """That code, or a command, may run."""
    output_characters: int = 20_000
    """Of each stream of a command, unless it asks for less."""
    sandboxes: int = 20
    """That live at once, in each server process."""
    project_sandboxes: int = 10
    """Of one project."""
    queue_seconds: float = 60.0
    """To wait for one."""
    harvest_files: int = 200
    """That one execution may make or change."""
    file_bytes: int = 512 * 2**20
    """Of the largest file that is kept."""

    def limits(self, memory_limit: str) -> Limits:
        """What the sandbox of a container may use."""
        return Limits(
            memory_bytes=min(MEMORY_MB[memory_limit], self.memory_mb) << 20,
            disk_bytes=self.disk_mb << 20,
            processes=self.processes,
        )
