"""What OpenAI's API has and this server has not, and what does the same here: for the answer to a request for
it. Programs look for these on the same base URL."""

_TRAINING = "Models are not trained here: [backends.NAME] of the configuration serves those that were."
_ELSEWHERE = {
    "batches": 'Batches are not served here: send each request to /v1/responses with "background": true and '
    '"background_options": {"completion_window": "8h"}, and it is done when the server has little to do.',
    "assistants": "The Assistants API is not served here: /v1/responses does what assistants did, and "
    "/v1/prompts keeps their instructions.",
    "threads": "The Assistants API is not served here: /v1/conversations keeps what threads kept.",
    "fine_tuning": _TRAINING,
    "fine-tunes": _TRAINING,
    "realtime": "There are no realtime sessions here: a WebSocket at /v1/responses streams text both ways, "
    "and a model that hears takes parts of the type input_audio.",
    "audio": "Speech is neither made nor transcribed here: a model that hears takes parts of the type "
    "input_audio at /v1/responses.",
    "videos": "Videos are not made here: pictures are, at /v1/images and by the tool image_generation.",
    "evals": "Evals are not served here: /dashboard shows what was asked and answered.",
    "graders": "Graders are not served here.",
    "chatkit": "ChatKit is not served here: /v1/conversations and /v1/responses keep and continue sessions.",
    "organization": "There are no organizations here: `antiphon key` and /dashboard manage keys, limits and "
    "usage.",
}
"""By the first name behind /v1."""
_SERVED = (
    "This server serves /v1/responses, /v1/conversations, /v1/prompts, /v1/models, /v1/files, /v1/uploads, "
    "/v1/vector_stores, /v1/containers, /v1/skills, /v1/moderations and /v1/webhook_endpoints; "
    "/v1/chat/completions, /v1/completions, /v1/embeddings and /v1/images are passed through to a model's "
    "server."
)


def hint(path: str) -> str:
    """What to use instead of what is not there."""
    if not path.startswith("/v1/"):
        return f"{_SERVED} The base URL of a client ends with /v1; /dashboard has pages for people."
    return _ELSEWHERE.get(path.removeprefix("/v1/").partition("/")[0], _SERVED)
