"""How much each project keeps, and how much it may.

What is counted is content: items, responses, conversations, templates of prompts, files and the parts of
uploads, files of containers, zips of skills, and chunks of vector stores with their vectors. A home of the
store keeps the table `stored_bytes` (`Database.count_bytes`) as long as there is a bound; without one nothing
is counted.

The bound stands before what is begun: a response that passes it while it is made is kept all the same, and
what is asked for at the same moment does not see each other. So a project may pass it once, by what was under
way.
"""

from antiphon.store.database import Database
from antiphon.store.errors import TooMuchStored
from antiphon.store.statements import Statement, Steps


class Usage:
    """What the projects of an installation keep."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._most: int | None = None

    async def bound(self, most: int | None) -> None:
        """Let each project keep so many bytes; None: as many as it likes. All that there is has to be
        counted the first time."""
        await self._database.count_bytes(most is not None)
        self._most = most

    async def check(self, project: str, more: int = 0) -> None:
        """Raises TooMuchStored unless the project may keep `more` bytes."""
        if self._most is None:
            return
        stored = await self._database.read(stored_bytes, project)
        if stored + more > self._most:
            raise TooMuchStored(stored, more, self._most)

    async def stored(self, project: str) -> int | None:
        """The bytes that the project keeps; None: there is no bound, and so nothing is counted."""
        return None if self._most is None else await self._database.read(stored_bytes, project)


def stored_bytes(project: str) -> Steps[int]:
    sql = "SELECT coalesce(CAST(sum(bytes) AS BIGINT), 0) FROM stored_bytes WHERE project_id = $1"
    ((found,),) = yield Statement(sql, (project,))
    return int(found)
