"""Files of deploy/: what they name is there, what they say fits together, and linters find nothing."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer.main
import yaml
from tests.conftest import Running, checked_client, config_for
from tests.docs.reading import ROOT, blocks
from tests.scripted import Answer, Gate, Upstream

from antiphon import __version__, config
from antiphon.cli import commands

DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
TEXTS = {str(path.relative_to(DEPLOY)): path.read_text(encoding="utf-8") for path in FILES}
COMPOSE = ("compose.yaml", "compose.scaled.yaml", "compose.sandbox.yaml")
_PROGRAMS = Path(sys.executable).parent


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(TEXTS[name]) if each]


def filled(text: str) -> str:
    """A value of a compose file, as an environment fills it in."""
    return re.sub(r"\$\{\w+(?::-([^}]*)|:\?)?\}", lambda found: found[1] or "http://sample", text)


def variables() -> Iterator[tuple[str, str, str]]:
    """File, variable and value of all that begin like ours."""
    for name, text in TEXTS.items():
        for variable, value in re.findall(
            r"^[ #-]*(ANTIPHON_[A-Z_0-9]+)[:=] *(.*?) ?\\?$", text, re.MULTILINE
        ):
            yield name, variable, filled(value.strip('"'))
        for variable, value in re.findall(r"name: (ANTIPHON_\w+)\n\s+value: (\S+)", text):
            yield name, variable, value


# ---- systemd --------------------------------------------------------------------------------------------


def test_the_page_writes_the_configuration_that_the_unit_reads_where_no_folder_is_yet(tmp_path: Path) -> None:
    (steps,) = (block.text for block in blocks("docs/deploy.md", "text") if "antiphon init" in block.text)
    written = [line for line in steps.splitlines() if "/etc/antiphon" in line]
    unit = TEXTS["systemd/antiphon.service"]
    ours = (
        "\n".join(written).replace("/opt/antiphon/bin", str(_PROGRAMS)).replace("/etc/", f"{tmp_path}/etc/")
    )
    (tmp_path / "etc").mkdir()

    done = subprocess.run(
        ["sh", "-euc", f"{ours} --yes --upstream http://127.0.0.1:9/v1"],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    (read,) = re.findall(r"--config /(\S+)", unit)
    assert config.load(tmp_path / read, environ={}).backends


# ---- what they name -------------------------------------------------------------------------------------


def test_there_are_variables_in_every_kind_of_file() -> None:
    found = {name for name, _, _ in variables()}

    assert {"Dockerfile", "compose.yaml", "compose.scaled.yaml", "kubernetes/server.yaml"} <= found
    assert len(list(variables())) > 20


@pytest.mark.parametrize(("name", "variable", "value"), list(variables()))
def test_each_variable_is_one_that_antiphon_reads(
    name: str, variable: str, value: str, tmp_path: Path
) -> None:
    if variable in ("ANTIPHON_CONFIG", "ANTIPHON_DATA_DIR"):
        return
    environ = {variable: value}
    if variable == "ANTIPHON_BACKENDS_MAIN_DEFAULT":
        environ["ANTIPHON_BACKENDS_MAIN_BASE_URL"] = "http://a/v1"
    before = config.load(None, environ={}, data_dir=tmp_path)

    assert config.load(None, environ=environ, data_dir=tmp_path) != before or value in ("8000", "auto")


def test_what_kubernetes_mounts_is_a_configuration(tmp_path: Path) -> None:
    (map_,) = documents("kubernetes/config.yaml")
    (secret,) = documents("kubernetes/secret.example.yaml")
    file = tmp_path / "antiphon.toml"
    file.write_text(map_["data"]["antiphon.toml"], encoding="utf-8")

    found = config.load(file, environ=secret["stringData"])

    assert found.store.is_shared
    assert found.server.needs_key
    assert found.store.sealing_key_env in secret["stringData"]
    for name in ("server", "worker"):
        seconds = documents(f"kubernetes/{name}.yaml")[0]["spec"]["template"]["spec"][
            "terminationGracePeriodSeconds"
        ]
        assert seconds > found.server.drain_seconds + found.server.stop_seconds


def commands_named() -> Iterator[tuple[str, list[str]]]:
    for name in ("Dockerfile", "systemd/antiphon.service"):
        for text in re.findall(r"(?:^CMD |^ExecStart=\S+ )(.*)$", TEXTS[name], re.MULTILINE):
            words = re.findall(r"[\w./-]+", text)
            if words[0] != "python":
                yield name, words
    for name in COMPOSE:
        for service in documents(name)[0]["services"].values():
            if str(service.get("image", "")).startswith("antiphon") and "command" in service:
                yield name, service["command"]
    for name in ("migrate", "server", "worker"):
        yield (
            name,
            documents(f"kubernetes/{name}.yaml")[0]["spec"]["template"]["spec"]["containers"][0]["args"],
        )
    for name, text in TEXTS.items():
        for words in re.findall(r"exec \w+ antiphon (.*)$", text, re.MULTILINE):
            yield name, words.split()


def test_each_command_and_its_options_are_there() -> None:
    found = list(commands_named())
    assert {words[0] for _, words in found} == {"serve", "migrate", "key"}
    for name, (first, *rest) in found:
        command: Any = typer.main.get_command(commands.app)
        command = command.commands[first]
        if hasattr(command, "commands"):
            command = command.commands[rest.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, name


# ---- what fits together ---------------------------------------------------------------------------------


def test_they_all_speak_of_one_port_and_one_version() -> None:
    port = config.Server().port
    text = TEXTS["Dockerfile"]
    assert f"EXPOSE {port}" in text
    assert f"ANTIPHON_SERVER_PORT={port}" in text
    assert f":{port}:{port}" in TEXTS["compose.yaml"]
    assert f"server:{port}" in TEXTS["nginx.conf"]
    (listens,) = re.findall(r"listen (\d+);", TEXTS["nginx.conf"])
    assert documents("compose.scaled.yaml")[0]["services"]["balancer"]["ports"] == [
        f"127.0.0.1:{port}:{listens}"
    ]
    for name in ("server", "worker"):
        (container,) = documents(f"kubernetes/{name}.yaml")[0]["spec"]["template"]["spec"]["containers"]
        assert container["ports"] == [{"name": "http", "containerPort": port}]
    versions = re.findall(r"(?:image: antiphon:|newTag: )(\d+\.\d+\.\d+)", "\n".join(TEXTS.values()))
    assert set(versions) == {__version__}


def test_what_probes_ask_for_is_answered(upstream: Upstream, tmp_path: Path) -> None:
    text = "\n".join(TEXTS.values())
    paths = {*re.findall(r"path: (/\w+)", text), *re.findall(r"\}(/\w+)\\?\"", text)}
    assert paths == {"/healthz", "/readyz"}
    with Running(config_for(upstream, tmp_path, config.Server(require_keys=True))) as running:
        assert {httpx2.get(running.url + path).status_code for path in paths} == {200}


def _reachable(ports: list[str]) -> bool:
    return any(not port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_opens_nothing_to_the_network_and_gives_few_rights(name: str) -> None:
    for service in documents(name)[0]["services"].values():
        assert not _reachable(service.get("ports", []))
        if str(service.get("image", "")).startswith("antiphon:") and name != "compose.sandbox.yaml":
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
            assert any(mount.startswith("/tmp") for mount in service["tmpfs"])


@pytest.mark.parametrize("name", ["migrate", "server", "worker"])
def test_pods_run_as_somebody_with_a_root_that_is_only_read(name: str) -> None:
    pod = documents(f"kubernetes/{name}.yaml")[0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert re.search(rf"^USER {pod['securityContext']['runAsUser']}:", TEXTS["Dockerfile"], re.MULTILINE)
    assert container["securityContext"]["readOnlyRootFilesystem"]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {"/etc/antiphon", "/var/lib/antiphon", "/tmp"}


def test_secrets_that_compose_asks_for_are_in_the_example() -> None:
    asked = set(re.findall(r"\$\{(\w+)(?::\?|:-)", TEXTS["compose.scaled.yaml"]))

    assert asked == set(re.findall(r"^(\w+)=", TEXTS["example.env"], re.MULTILINE))


# ---- linters --------------------------------------------------------------------------------------------


def lint(*command: str, **given: Any) -> None:
    program = shutil.which(command[0], path=str(_PROGRAMS)) or shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not here")
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=120, **given)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_finds_nothing() -> None:
    lint("hadolint", str(DEPLOY / "Dockerfile"))


def test_yamllint_finds_nothing() -> None:
    rules = "rules: {document-start: disable, line-length: {max: 120}, braces: {max-spaces-inside: 1}}"
    lint("yamllint", "--strict", "-d", f"{{extends: default, {rules}}}", str(DEPLOY))


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_fit_their_schema(name: str) -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DEPLOY / name))


def test_manifests_fit_the_schemas_of_kubernetes() -> None:
    manifests = [str(DEPLOY / "kubernetes" / name) for name in _resources()]
    lint("kubernetes-validate", "--strict", *manifests, str(DEPLOY / "kubernetes" / "secret.example.yaml"))


def _resources() -> list[str]:
    (kustomization,) = documents("kubernetes/kustomization.yaml")
    there = {path.name for path in (DEPLOY / "kubernetes").iterdir()}
    assert {*kustomization["resources"], "kustomization.yaml", "secret.example.yaml"} == there
    found: list[str] = kustomization["resources"]
    return found


@pytest.mark.parametrize("more", ["", "sandbox.conf"])
def test_systemd_reads_its_unit(more: str, tmp_path: Path) -> None:
    """With a program that is there in place of ours."""
    text = TEXTS["systemd/antiphon.service"].replace("/opt/antiphon/bin/antiphon", "/bin/true")
    unit = tmp_path / "antiphon.service"
    unit.write_text(text, encoding="utf-8")
    if more:
        (tmp_path / "antiphon.service.d").mkdir()
        (tmp_path / "antiphon.service.d" / more).write_text(TEXTS[f"systemd/{more}"], encoding="utf-8")
    lint("systemd-analyze", "verify", str(unit))


def test_the_image_is_built_of_what_is_there() -> None:
    kept = {line[1:] for line in TEXTS["Dockerfile.dockerignore"].splitlines() if line.startswith("!")}
    copied: Mapping[str, None] = dict.fromkeys(
        word
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", TEXTS["Dockerfile"], re.MULTILINE)
        for word in line.split()
    )

    assert set(copied) == kept
    assert all((ROOT / name).exists() for name in kept)


# ---- a proxy --------------------------------------------------------------------------------------------


@contextmanager
def nginx(server: Running, folder: Path) -> Iterator[str]:
    """The URL of one that is configured as the file says, with a server of this machine behind it."""
    program = shutil.which("nginx")
    if program is None or os.getuid() != 0:
        pytest.skip("needs root, and nginx, which scripts/programs installs: sudo apt-get install nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    text = TEXTS["nginx.conf"].replace("server:8000", server.url.removeprefix("http://"))
    file = folder / "nginx.conf"
    own = f"pid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
    file.write_text(own + text.replace("listen 8080", f"listen {address}"), encoding="utf-8")
    subprocess.run([program, "-c", file], check=True)  # ends when it listens
    try:
        yield f"http://{address}"
    finally:
        subprocess.run([program, "-c", file, "-s", "stop"], check=True)


def test_nginx_hands_on_events_as_they_come(server: Running, upstream: Upstream, tmp_path: Path) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("Hello!", size=3, gate=gate), Answer("And again."))

    with nginx(server, tmp_path) as url, checked_client(url) as client:
        told = client.responses.create(model="m", input="Hi", stream=True)
        seen = [next(told).type for _ in range(5)]
        gate.open()
        rest = [event.type for event in told]
        with client.responses.connect() as connection:
            connection.response.create(model="m", input="Again")
            over = next(event for event in connection if event.type == "response.completed")

    assert seen[-1] == "response.output_text.delta"
    assert rest[-1] == "response.completed"
    assert over.response.output_text == "And again."
