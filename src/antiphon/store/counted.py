"""What counts among the bytes that a project keeps, whichever home the store has: each counts by triggers."""

from msgspec import Struct


class Counted(Struct, frozen=True):
    """A table whose rows have a size. `project` and `size` are SQL, in which `{}` is the row."""

    table: str
    size: str
    project: str = "{}.project_id"
    text: str = ""
    """A column of text, whose bytes count as well."""
    changes: str = ""
    """The column that is written anew, if there is one."""


COUNTED = (
    Counted("items", "length({}.json)"),
    Counted("inline_data", "{}.size"),
    Counted("responses", "length({}.json)", changes="json"),
    Counted("conversations", "length({}.metadata)", changes="metadata"),
    Counted(
        "prompt_versions", "length({}.template)", "(SELECT project_id FROM prompts WHERE key = {}.prompt)"
    ),
    Counted("files", "{}.size"),
    Counted("vector_chunks", "length({}.vectors)", text="text"),
    Counted("container_files", "{}.size", changes="size"),
    Counted("skill_bundles", "{}.size"),
    Counted("upload_parts", "{}.size", "(SELECT project_id FROM uploads WHERE key = {}.upload)"),
)
