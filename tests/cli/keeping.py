"""Something of everything that a server keeps, made over the wire, and all of it read again."""

from typing import Any

import httpx2
from openai import OpenAI
from tests.api.skilling import folder, zipped
from tests.api.storing import HARBOURS, TREES, filled
from tests.conftest import Running
from tests.papers import picture_url, png

Json = dict[str, Any]
CONTAINERS = "/v1/containers"
PICTURE = picture_url(png() + bytes(200_000))


class Kept:
    """Something of everything, made over the wire, and all of it read again."""

    def __init__(self, client: OpenAI, http: httpx2.Client) -> None:
        self.client, self.http = client, http

    def make(self) -> None:
        client, post = self.client, self.http.post
        shown = [{"type": "input_image", "image_url": PICTURE}]
        first = client.responses.create(
            model="m", input=[{"role": "user", "content": shown}], metadata={"a": "b"}
        )
        second = client.responses.create(model="m", input="More", previous_response_id=first.id)
        fork = client.responses.create(model="m", input="Other", previous_response_id=first.id)
        talk = client.conversations.create(items=[{"role": "user", "content": "Hi"}])
        client.responses.create(model="m", input="There", conversation=talk.id)
        run_id = self._run()
        hook: Json = {"name": "x", "url": "https://a.example/hook", "event_types": ["response.cancelled"]}
        post("/v1/webhook_endpoints", json=hook)
        self.prompt = post("/v1/prompts", json={"instructions": "One"})
        self.store, files = filled(client, TREES, HARBOURS)
        batch = client.vector_stores.file_batches.create(self.store.id, file_ids=files)
        upload = client.uploads.create(filename="u.txt", purpose="user_data", bytes=5, mime_type="text/plain")
        part = client.uploads.parts.create(upload.id, data=b"Hello")
        skill = post("/v1/skills", files={"files": ("s.zip", zipped(folder()))}).json()["id"]
        again = zipped(folder(description="Otherwise."))
        post(f"/v1/skills/{skill}/versions", files={"files": ("s.zip", again)})
        skills = [{"type": "skill_reference", "skill_id": skill}]
        asked: Json = {"name": "work", "file_ids": files[:1], "skills": skills}
        container = post(CONTAINERS, json=asked).json()["id"]
        self.upload, self.part, self.response = upload.id, part.id, second.id
        files_of = self.http.get(f"{CONTAINERS}/{container}/files").json()["data"]
        self.paths = [
            *(f"/v1/responses/{each}" for each in (first.id, second.id, fork.id, run_id)),
            *(f"/v1/responses/{each}/input_items" for each in (first.id, second.id, fork.id, run_id)),
            f"/v1/responses/{run_id}?stream=true",
            f"/v1/conversations/{talk.id}",
            f"/v1/conversations/{talk.id}/items",
            f"/v1/prompts/{self.prompt.json()['id']}",
            "/v1/prompts",
            "/v1/webhook_endpoints",
            "/v1/files",
            *(f"/v1/files/{each}/content" for each in files),
            "/v1/vector_stores",
            f"/v1/vector_stores/{self.store.id}/files",
            f"/v1/vector_stores/{self.store.id}/file_batches/{batch.id}",
            f"{CONTAINERS}/{container}/files",
            *(f"{CONTAINERS}/{container}/files/{each['id']}/content" for each in files_of),
            "/v1/skills",
            f"/v1/skills/{skill}/content",
            f"/v1/skills/{skill}/versions",
            f"/v1/skills/{skill}/versions/2/content",
        ]

    def read(self) -> dict[str, Any]:
        answers = {path: self.http.get(path) for path in self.paths}
        assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 200)
        return {path: answer.content for path, answer in answers.items()} | {"found": self._found()}

    def add(self) -> None:
        """More of it, on what is there."""
        client = self.client
        client.responses.create(model="m", input="Next", previous_response_id=self.response)
        client.uploads.complete(self.upload, part_ids=[self.part])
        file = client.files.create(file=("n.txt", b"A lighthouse."), purpose="user_data")
        client.vector_stores.files.create_and_poll(file.id, vector_store_id=self.store.id)
        assert "lighthouse" in str(self.http.post(self._search, json={"query": "lighthouse"}).content)
        client.conversations.create()
        self._run()

    def _run(self) -> str:
        response = self.client.responses.create(model="m", input="Hi", background=True, stream=True)
        (run_id,) = [event.response.id for event in response if event.type == "response.completed"]
        return run_id

    @property
    def _search(self) -> str:
        return f"/v1/vector_stores/{self.store.id}/search"

    def _found(self) -> list[tuple[str, str]]:
        answer = self.http.post(self._search, json={"query": "harbour"}).json()
        return [(each["filename"], each["content"][0]["text"]) for each in answer["data"]]


def http_of(running: Running) -> httpx2.Client:
    return httpx2.Client(base_url=running.url, timeout=60)
