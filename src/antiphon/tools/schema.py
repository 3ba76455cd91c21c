"""Whether the arguments of a call fit the JSON schema of a strict function."""

from typing import TYPE_CHECKING, Any

from antiphon.protocol.wire import JsonObject

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

_TOLD = 5
"""How many faults the model is told at once."""


class Schema:
    """A JSON schema, ready to check values. Raises ValueError for one that makes no sense."""

    def __init__(self, schema: JsonObject) -> None:
        from jsonschema_rs import validator_for

        self._validator = validator_for(schema, retriever=_retrieve)

    def fault(self, value: Any, name: str = "arguments") -> str | None:
        """What does not fit in what is called so, in words for the model; None: all of it does."""
        faults = [_words(error, name) for error in self._validator.iter_errors(value)]
        return "; ".join(faults[:_TOLD]) or None


def _words(error: "ValidationError", name: str) -> str:
    place = "".join(f"[{step!r}]" for step in error.instance_path)
    return f"{name}{place}: {error.message}"


def _retrieve(uri: str) -> Any:
    """Nothing is fetched for the sake of a schema."""
    raise ValueError(f"A schema may not refer to {uri}.")
