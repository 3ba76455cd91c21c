"""Skills over the wire: uploads in both forms, versions, and what is not let in."""

import io
import stat
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from tests.api.asking import Json
from tests.api.filing import Left, alone, left, one, two  # noqa: F401
from tests.api.skilling import folder, skill, skill_md, skill_version, unzipped, zipped
from tests.api.storing import ids
from tests.ledger import covers, ids_of

pytestmark = pytest.mark.all_blobs

SKILLS = "/v1/skills"


def uploaded(http: httpx2.Client, files: dict[str, bytes], place: str = SKILLS) -> httpx2.Response:
    return http.post(place, files=[("files[]", (name, data)) for name, data in files.items()])


def as_zip(http: httpx2.Client, data: bytes, place: str = SKILLS, **fields: str) -> httpx2.Response:
    return http.post(place, files={"files": ("skill.zip", data)}, data=fields)


def made(client: OpenAI, **members: Any) -> str:
    return client.skills.create(files=list(folder(**members).items())).id


@covers("endpoint.POST /skills", "endpoint.GET /skills/{skill_id}", "endpoint.GET /skills/{skill_id}/content")
@pytest.mark.parametrize("upload", [lambda http, files: as_zip(http, zipped(files)), uploaded])
def test_a_skill_comes_as_a_folder_or_as_a_zip(
    http: httpx2.Client, upload: Callable[[httpx2.Client, dict[str, bytes]], httpx2.Response]
) -> None:
    new = upload(http, folder()).json()

    assert new == skill()
    assert http.get(f"{SKILLS}/{new['id']}").json() == new
    content = http.get(f"{SKILLS}/{new['id']}/content")
    assert content.headers["content-type"] == "application/zip"
    assert unzipped(content.content) == folder()


@covers("body.skills.create.files")
def test_the_official_client_uploads_in_each_of_its_ways(client: OpenAI) -> None:
    data = zipped(folder())
    for files in (("greeting.zip", data), [("greeting.zip", data)], list(folder().items()), data):
        new = client.skills.create(files=files)  # type: ignore[arg-type]
        assert (new.name, new.description) == ("greeting", "How to greet.")


@covers("endpoint.GET /skills", *ids_of("query.skills.list"))
def test_skills_are_listed_both_ways(one: OpenAI) -> None:  # noqa: F811
    new = [made(one) for _ in range(4)]

    assert ids(one.skills.list(limit=3)) == new[::-1]
    assert ids(one.skills.list(order="asc")) == new
    assert ids(one.skills.list(after=new[1]).data) == [new[0]]
    none = one.skills.list(limit=0)
    assert (none.data, none.has_more) == ([], True)
    with pytest.raises(NotFoundError):
        one.skills.list(after="skill_none")
    with pytest.raises(BadRequestError, match="Expected a value >= 0"):
        one.skills.list(limit=-1)


@covers(
    "endpoint.POST /skills/{skill_id}/versions",
    "endpoint.GET /skills/{skill_id}/versions/{version}",
    "endpoint.GET /skills/{skill_id}/versions/{version}/content",
    "endpoint.POST /skills/{skill_id}",
    "body.skills.update.default_version",
    *ids_of("body.skills.versions.create"),
)
def test_a_new_version_becomes_the_default_where_that_is_asked(client: OpenAI, http: httpx2.Client) -> None:
    skill_id = made(client)
    versions = client.skills.versions

    second = versions.create(skill_id, files=list(folder(description="Two").items()))
    assert second.to_dict() == skill_version(skill_id, 2, description="Two")
    assert client.skills.retrieve(skill_id).to_dict() == skill(id=skill_id, latest_version="2")

    third = versions.create(skill_id, default=True, files=list(folder(description="Three").items()))
    shown = skill(id=skill_id, default_version="3", latest_version="3", description="Three")
    assert client.skills.retrieve(skill_id).to_dict() == shown

    back = client.skills.update(skill_id, default_version="1")
    assert back.to_dict() == skill(id=skill_id, latest_version="3")
    assert client.skills.update(skill_id, default_version="latest").default_version == "3"
    assert versions.retrieve("2", skill_id=skill_id) == second
    assert versions.retrieve("latest", skill_id=skill_id) == third
    content = versions.content.retrieve("2", skill_id=skill_id).read()
    assert unzipped(content)["greeting/SKILL.md"] == skill_md(description="Two")


@covers("endpoint.GET /skills/{skill_id}/versions", *ids_of("query.skills.versions.list"))
def test_versions_are_listed_by_number(client: OpenAI) -> None:
    skill_id = made(client)
    for number in range(2, 12):
        client.skills.versions.create(skill_id, files=list(folder(description=f"v{number}").items()))

    listed = list(client.skills.versions.list(skill_id, limit=4, order="asc"))

    assert [version.version for version in listed] == [str(number) for number in range(1, 12)]
    assert ids(client.skills.versions.list(skill_id)) == [version.id for version in listed[::-1]]
    after = client.skills.versions.list(skill_id, after=listed[1].id).data
    assert [version.version for version in after] == ["1"]


@covers("endpoint.DELETE /skills/{skill_id}/versions/{version}")
def test_a_version_that_is_not_the_default_can_be_deleted(client: OpenAI, http: httpx2.Client) -> None:
    skill_id = made(client)
    second = client.skills.versions.create(skill_id, files=list(folder(description="Two").items()))

    deleted = http.delete(f"{SKILLS}/{skill_id}/versions/2").json()

    assert deleted == {"id": second.id, "object": "skill.version.deleted", "deleted": True, "version": "2"}
    assert client.skills.retrieve(skill_id).latest_version == "1"
    with pytest.raises(BadRequestError, match="Version '1' is the default of the skill") as caught:
        client.skills.versions.delete("1", skill_id=skill_id)
    assert (caught.value.param, caught.value.code) == ("version", "default_version")
    third = client.skills.versions.create(skill_id, files=list(folder(description="Two").items()))
    assert third.version == "3"


@covers("endpoint.DELETE /skills/{skill_id}")
def test_a_deleted_skill_leaves_what_containers_have_of_it(one: OpenAI, left: Left) -> None:  # noqa: F811
    skill_id = made(one)
    one.skills.versions.create(skill_id, files=list(folder(description="Two").items()))
    asked: Any = [{"type": "skill_reference", "skill_id": skill_id}]
    container = one.containers.create(name="work", skills=asked)

    deleted = one.skills.delete(skill_id)

    assert deleted.to_dict() == {"id": skill_id, "object": "skill.deleted", "deleted": True}
    assert len(left()) == 1
    one.containers.delete(container.id)
    assert left() == set()
    for asks in (
        lambda: one.skills.retrieve(skill_id),
        lambda: one.skills.delete(skill_id),
        lambda: one.skills.update(skill_id, default_version="1"),
        lambda: one.skills.content.retrieve(skill_id),
        lambda: one.skills.versions.list(skill_id),
        lambda: one.skills.versions.create(skill_id, files=list(folder().items())),
        lambda: one.skills.versions.retrieve("1", skill_id=skill_id),
        lambda: one.skills.versions.delete("1", skill_id=skill_id),
    ):
        with pytest.raises(NotFoundError, match=f"Skill '{skill_id}' not found"):
            asks()


@pytest.mark.parametrize("version", ["2", "0", "newest", "1.0", "9" * 40, "-1"])
def test_a_version_that_is_not_there_is_not_found(client: OpenAI, version: str) -> None:
    skill_id = made(client)
    for asks in (
        lambda: client.skills.versions.retrieve(version, skill_id=skill_id),
        lambda: client.skills.versions.content.retrieve(version, skill_id=skill_id),
        lambda: client.skills.versions.delete(version, skill_id=skill_id),
        lambda: client.skills.update(skill_id, default_version=version),
    ):
        with pytest.raises(NotFoundError, match=f"has no version '{version}'"):
            asks()


def test_no_project_sees_anothers_skill(one: OpenAI, two: OpenAI) -> None:  # noqa: F811
    skill_id = made(one)

    assert ids(two.skills.list()) == []
    reference: Any = [{"type": "skill_reference", "skill_id": skill_id}]
    for asks in (
        lambda: two.skills.retrieve(skill_id),
        lambda: two.skills.delete(skill_id),
        lambda: two.skills.content.retrieve(skill_id),
        lambda: two.skills.versions.create(skill_id, files=list(folder().items())),
        lambda: two.containers.create(name="work", skills=reference),
    ):
        with pytest.raises(NotFoundError):
            asks()


# ---- what is not let in -----------------------------------------------------------------------------


def entry(name: str, mode: int = 0, **members: Any) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.create_system = 3
    made.external_attr = mode << 16
    for member, value in members.items():
        setattr(made, member, value)
    return made


def with_entry(info: zipfile.ZipInfo, data: bytes = b"x", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A good skill, and one more entry."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in folder().items():
            archive.writestr(name, content)
        archive.writestr(info, data, method)
    return packed.getvalue()


def lying_about_its_size() -> bytes:
    """A file that says that it is small, and unpacks to 100 MB."""
    data = bytearray(with_entry(entry("greeting/big"), b"\0" * 100_000_000))
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.rfind(mark) + at
        data[place : place + 4] = (10).to_bytes(4, "little")
    return bytes(data)


def many_empty_entries() -> bytes:
    """A directory of 600,000 entries, in 50 MB."""
    name = b"a"
    local = b"PK\x03\x04" + b"\0" * 22 + len(name).to_bytes(2, "little") + b"\0\0" + name
    central = b"PK\x01\x02\x14\x03" + b"\0" * 22 + len(name).to_bytes(2, "little") + b"\0" * 16 + name
    count = 600_000
    directory = central * count
    end = b"PK\x05\x06" + b"\0" * 4 + b"\xff\xff\xff\xff" + len(directory).to_bytes(4, "little")
    return local + directory + end + len(local).to_bytes(4, "little") + b"\0\0"


ZIPS: dict[str, Callable[[], bytes]] = {
    "no zip": lambda: b"PK\x03\x04 is not all of it",
    "empty": lambda: zipped({}),
    "cut short": lambda: zipped(folder())[:-30],
    "a broken checksum": lambda: zipped({"greeting/SKILL.md": skill_md(), "greeting/a": b"x"}).replace(
        zlib.crc32(b"x").to_bytes(4, "little"), b"\0\0\0\0"
    ),
    "a parent": lambda: with_entry(entry("greeting/../../etc/cron.d/x")),
    "an absolute path": lambda: with_entry(entry("/etc/cron.d/x")),
    "a drive": lambda: with_entry(entry("C:/x")),
    "a backslash": lambda: with_entry(entry("greeting\\..\\..\\x")),
    "a NUL": lambda: zipped(folder() | {"greeting/evilX.txt": b"x"}).replace(b"evilX", b"evil\0"),
    "a line break": lambda: with_entry(entry("greeting/a\nb")),
    "a link": lambda: with_entry(entry("greeting/link", stat.S_IFLNK | 0o777), b"/etc/passwd"),
    "a device": lambda: with_entry(entry("greeting/dev", stat.S_IFCHR | 0o666)),
    "another compression": lambda: with_entry(entry("greeting/x"), b"x", zipfile.ZIP_LZMA),
    "folders deeper than a sandbox takes": lambda: with_entry(entry(f"greeting/{'d/' * 60}x")),
    "two top folders": lambda: with_entry(entry("other/x")),
    "a file at the top": lambda: with_entry(entry("x")),
    "no top folder": lambda: zipped({"SKILL.md": skill_md()}),
    "no SKILL.md": lambda: zipped({"greeting/README.md": skill_md()}),
    "two SKILL.md": lambda: with_entry(entry("greeting/more/skill.md")),
    "SKILL.md too deep": lambda: zipped({"greeting/deep/SKILL.md": skill_md()}),
    "names that differ in case": lambda: with_entry(entry("greeting/WORDS/hello.txt")),
    "names that are one when composed": lambda: zipped(
        folder() | {"greeting/\u00e9": b"x", "greeting/e\u0301": b"x"}
    ),
    "a file that is a folder too": lambda: with_entry(entry("greeting/words")),
    "a file that is too large": lambda: with_entry(entry("greeting/big"), b"\0" * (25 * 2**20 + 1)),
    "too much in all": lambda: zipped(
        folder() | {f"greeting/{number}": b"\0" * 25 * 2**20 for number in range(11)}
    ),
    "too many files": lambda: zipped(folder() | {f"greeting/{number}": b"" for number in range(499)}),
    "a lie about its size": lying_about_its_size,
    "very many entries": many_empty_entries,
}


@pytest.mark.parametrize("what", ZIPS)
def test_a_zip_that_would_do_harm_is_refused(http: httpx2.Client, what: str) -> None:
    refused(as_zip(http, ZIPS[what]()))


def refused(answer: httpx2.Response) -> str:
    fault = answer.json()["error"]
    assert (answer.status_code, fault["param"], fault["code"]) == (400, "files", "invalid_skill"), fault
    message: str = fault["message"]
    return message


def test_a_zip_that_is_too_large_is_refused_before_it_is_read(http: httpx2.Client) -> None:
    answer = as_zip(http, b"PK" + b"\0" * 50 * 2**20)
    fault = answer.json()["error"]
    assert (answer.status_code, fault["param"], fault["code"]) == (413, "files", "file_too_large")


DEEP = "[" * 20_000
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE = "a: &a {k: v}\n" + "".join(
    f"m{number}: &m{number} {{<<: [{', '.join([f'*m{number - 1}' if number else '*a'] * 20)}]}}\n"
    for number in range(12)
)
NAME = "1 to 64 letters a-z"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"# No front matter", "must begin with front matter"),
        (b"---\nname: greeting\ndescription: x\n", "must begin with front matter"),
        (b"---\n- a\n- b\n---\n", "must be a mapping"),
        (b"---\nname: [\n---\n", "is no YAML"),
        (b"---\nname: !!python/object/apply:os.system ['true']\n---\n", "is no YAML"),
        (b"---\nname: greeting\ndescription: \xff\n---\n", "not in UTF-8"),
        (b"---\ndescription: x\n---\n", NAME),
        (b"---\nname: greeting\n---\n", "'description'"),
        (skill_md(name="Greeting"), NAME),
        (skill_md(name="-greeting"), NAME),
        (skill_md(name="gree--ting"), NAME),
        (skill_md(name="g" * 65), NAME),
        (skill_md(name="1"), NAME),
        (skill_md(name="farewell"), "its folder is called 'greeting'"),
        (skill_md(description="x" * 1025), "1 to 1,024 characters"),
        (skill_md(description="' '"), "1 to 1,024 characters"),
        (skill_md(more=f"compatibility: {'x' * 501}\n"), "'compatibility'"),
        (skill_md(more="license: [MIT]\n"), "'license'"),
        (skill_md(more="metadata: yes\n"), "'metadata'"),
        (skill_md(more="allowed-tools: 3\n"), "'allowed-tools'"),
        (skill_md(more=f"metadata: {DEEP}\n"), ""),
        (skill_md(more=f"metadata: {{{'a: ' * 9000}}}\n"), ""),
        (b"---\n" + b"x" * 70_000 + b"\n---\n", "must begin with front matter"),
    ],
)
def test_a_skill_says_its_name_and_what_it_is_for(http: httpx2.Client, content: bytes, words: str) -> None:
    files = {"greeting/SKILL.md": content}
    assert words in refused(as_zip(http, zipped(files)))
    assert words in refused(uploaded(http, files))


def test_front_matter_that_grows_when_it_is_looked_at_is_not(http: httpx2.Client) -> None:
    """Lists and mappings of billions, of which there are only a few."""
    for bomb in (BOMB, MERGE):
        assert uploaded(http, folder(more=bomb)).status_code == 200


def test_what_a_mac_and_others_put_into_zips_does_no_harm(http: httpx2.Client) -> None:
    litter = {"__MACOSX/greeting/._SKILL.md": b"x", "greeting/.DS_Store": b"x", "greeting/empty/": b""}
    bom = {"greeting/skill.MD": b"\xef\xbb\xbf" + skill_md().replace(b"\n", b"\r\n")}
    assert as_zip(http, zipped(bom | litter)).json() == skill()


@pytest.mark.parametrize(
    "name", ["../SKILL.md", "/greeting/x", "greeting//x", "greeting/./x", "SKILL.md", ""]
)
def test_a_folder_has_no_paths_that_lead_out_of_it(http: httpx2.Client, name: str) -> None:
    refused(uploaded(http, {"greeting/SKILL.md": skill_md(), name: b"x"}))


def test_a_form_that_is_no_upload_of_a_skill_is_refused(client: OpenAI, http: httpx2.Client) -> None:
    def fault(answer: httpx2.Response) -> tuple[int, str | None, str | None]:
        body: Json = answer.json()["error"]
        return (answer.status_code, body["param"], body["code"])

    versions = f"{SKILLS}/{made(client)}/versions"
    good = zipped(folder())
    assert fault(http.post(SKILLS, json={})) == (400, None, "invalid_form")
    assert fault(http.post(SKILLS, files={"file": ("a.zip", good)})) == (
        400,
        "files",
        "missing_required_parameter",
    )
    assert fault(as_zip(http, good, default="true")) == (400, "default", "unknown_parameter")
    assert fault(as_zip(http, good, versions, default="yes")) == (400, "default", "invalid_type")
    many = uploaded(http, {f"greeting/{number}": b"" for number in range(501)})
    assert fault(many) == (400, "files", "invalid_value")


def test_hostile_zips_keep_nobody_waiting(http: httpx2.Client, client: OpenAI) -> None:
    """While one is read, in a child, the server answers."""
    data = ZIPS["too much in all"]()

    def send() -> None:
        with httpx2.Client(base_url=http.base_url, timeout=60) as other:
            for _ in range(3):
                as_zip(other, data)

    thread = threading.Thread(target=send)
    thread.start()
    longest = 0.0
    while thread.is_alive():
        began = time.monotonic()
        client.skills.list(limit=1)
        longest = max(longest, time.monotonic() - began)
    assert longest < 5
