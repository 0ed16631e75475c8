"""The Dockerfile, as far as it can be checked without building it."""

import json
import re

from deploy.verify.children import CHECKOUT

TEXT = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def instructions(name: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", "", TEXT)
    return re.findall(rf"^{name} (.+)$", joined, flags=re.MULTILINE)


def test_every_stage_stands_on_the_base_that_can_be_changed() -> None:
    stages = {line.split(" AS ")[1] for line in instructions("FROM")}
    assert all(
        source in ("${BASE}", *stages) for source in (line.split(" AS ")[0] for line in instructions("FROM"))
    )
    assert re.fullmatch(r"BASE=python:3\.11\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", instructions("ARG")[0])


def test_service_is_what_is_built_by_default() -> None:
    assert instructions("FROM")[-1] == "runtime AS service"


def test_user_is_a_number_and_not_root() -> None:
    assert instructions("USER") == ["10001:10001"]


def test_no_shell_stands_between_engine_and_python() -> None:
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["python", "/app/run.py"]
    assert json.loads(instructions("CMD")[0]) == ["run"]


def test_health_is_asked_by_python() -> None:
    (line,) = instructions("HEALTHCHECK")
    command = json.loads(line[line.index("CMD ") + 4 :])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")


def test_libraries_are_installed_by_hash() -> None:
    installs = [line for line in instructions("RUN") if "install" in line and "pip" in line]
    assert installs
    assert all("--require-hashes" in line for line in installs)


def test_nothing_goes_into_the_build_unless_it_is_named() -> None:
    assert next(line for line in IGNORED if not line.startswith("#")) == "*"
    named = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}
    copied = {line.split()[0] for line in instructions("COPY") if not line.startswith("--from")}
    assert named == copied
    assert all((CHECKOUT / name).exists() for name in named)
