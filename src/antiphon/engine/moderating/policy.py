"""What judges read of the thirteen categories, in OpenAI's sense of them."""

from collections.abc import Mapping
from typing import Final

MEANINGS: Final[Mapping[str, str]] = {
    "harassment": "insults, bullies or harasses somebody, or calls on others to do so",
    "harassment/threatening": "harassment that also threatens violence or serious harm",
    "hate": (
        "hatred of a group for its race, ethnicity, nationality, religion, sex, sexual orientation, "
        "disability or caste"
    ),
    "hate/threatening": "hate that also threatens violence or serious harm",
    "illicit": "gives advice or instructions on how to commit a crime or another wrong",
    "illicit/violent": "illicit, and with violence, or about getting or making weapons",
    "self-harm": "encourages or depicts suicide, cutting, eating disorders or other harm to oneself",
    "self-harm/intent": "the speaker says that they harm themselves, or mean to",
    "self-harm/instructions": "gives instructions for self-harm, or encourages somebody to do it",
    "sexual": "meant to arouse, or promotes sexual services (sex education and health are not meant)",
    "sexual/minors": "sexual, with somebody who is under 18",
    "violence": "depicts death, violence or injury as something good, or calls for it",
    "violence/graphic": "depicts death, violence or injury in graphic detail",
}

POLICY: Final = "\n".join(f"- {name}: {meaning}" for name, meaning in MEANINGS.items())

FAILED: Final = "moderation_failed"
"""The code of what could not be judged."""
