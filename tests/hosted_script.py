"""What a scripted Responses server says of the tools that it runs itself, event by event as OpenAI's does."""

from typing import Any

from tests.responses_script import Json, Said

PICTURE = "iVBORw0KGgo="


def web(query: str, *urls: str, status: str = "completed") -> Said:
    """A search on the web."""
    sources = [{"type": "url", "url": url} for url in urls]
    action = {"type": "search", "query": query, "queries": [query], "sources": sources}

    def events(at: int) -> list[Json]:
        item = {"id": f"ws_{at}", "type": "web_search_call", "status": "in_progress"}
        ended = ["completed"] if status == "completed" else []
        return [
            _added(at, {**item, "action": {"type": "search"}}),
            *_stages(at, "web_search_call", f"ws_{at}", "in_progress", "searching", *ended),
            _done(at, {**item, "status": status, "action": action}),
        ]

    return events


def code(text: str, logs: str, container: str = "cntr_theirs", size: int = 0) -> Said:
    """Code that it runs."""

    def events(at: int) -> list[Json]:
        place = {"item_id": f"ci_{at}", "output_index": at}
        item = {"id": f"ci_{at}", "type": "code_interpreter_call", "container_id": container}
        step = size or len(text)
        pieces = [text[begin : begin + step] for begin in range(0, len(text), step)]
        told = "response.code_interpreter_call_code"
        return [
            _added(at, {**item, "status": "in_progress", "code": "", "outputs": []}),
            *_stages(at, "code_interpreter_call", f"ci_{at}", "in_progress"),
            *({"type": f"{told}.delta", **place, "delta": piece} for piece in pieces),
            {"type": f"{told}.done", **place, "code": text},
            *_stages(at, "code_interpreter_call", f"ci_{at}", "interpreting", "completed"),
            _done(
                at,
                {**item, "status": "completed", "code": text, "outputs": [{"type": "logs", "logs": logs}]},
            ),
        ]

    return events


def picture(prompt: str, data: str = PICTURE, partials: int = 1) -> Said:
    """A picture that it makes."""
    look = {"size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png"}

    def events(at: int) -> list[Json]:
        place = {"item_id": f"ig_{at}", "output_index": at}
        item = {"id": f"ig_{at}", "type": "image_generation_call"}
        told = "response.image_generation_call.partial_image"
        unfinished = [
            {"type": told, **place, "partial_image_index": each, "partial_image_b64": data, **look}
            for each in range(partials)
        ]
        whole = {**item, "status": "completed", "result": data, "revised_prompt": prompt, **look}
        return [
            _added(at, {**item, "status": "in_progress"}),
            *_stages(at, "image_generation_call", f"ig_{at}", "in_progress", "generating"),
            *unfinished,
            *_stages(at, "image_generation_call", f"ig_{at}", "completed"),
            _done(at, whole),
        ]

    return events


def cited(before: str, passage: str, url: str, after: str = ".") -> Said:
    """A text with a passage that names its source."""
    start = len(before)
    end = start + len(passage)
    note = {"type": "url_citation", "url": url, "title": "A page", "start_index": start, "end_index": end}

    def events(at: int) -> list[Json]:
        place = {"item_id": f"msg_{at}", "output_index": at, "content_index": 0}
        text = before + passage + after
        part = {"type": "output_text", "text": text, "annotations": [note], "logprobs": []}
        item = {"id": f"msg_{at}", "type": "message", "role": "assistant"}
        delta = {"type": "response.output_text.delta", **place, "logprobs": []}
        told = "response.output_text.annotation.added"
        return [
            _added(at, {**item, "status": "in_progress", "content": []}),
            {
                "type": "response.content_part.added",
                **place,
                "part": {**part, "text": "", "annotations": []},
            },
            {**delta, "delta": before + passage},
            {"type": told, **place, "annotation_index": 0, "annotation": note},
            {**delta, "delta": after},
            {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
            {"type": "response.content_part.done", **place, "part": part},
            _done(at, {**item, "status": "completed", "content": [part]}),
        ]

    return events


def _stages(at: int, kind: str, item_id: str, *stages: str) -> list[Json]:
    place: dict[str, Any] = {"item_id": item_id, "output_index": at}
    return [{"type": f"response.{kind}.{stage}", **place} for stage in stages]


def _added(at: int, item: Json) -> Json:
    return {"type": "response.output_item.added", "output_index": at, "item": item}


def _done(at: int, item: Json) -> Json:
    return {"type": "response.output_item.done", "output_index": at, "item": item}
