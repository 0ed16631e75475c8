"""`make verify-compose`: docker-compose.yml by the compose-spec library, and by a client if there is one."""

import importlib
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from deploy.verify.checks import CheckFailedError, Checklist, main, run
from deploy.verify.children import CHECKOUT

COMPOSE_FILE = CHECKOUT / "docker-compose.yml"
DEMO_SETTINGS = CHECKOUT / "deploy" / "demo.env"
VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")
EXAMPLE_SETTINGS = ".env.example"


def check_compose(checklist: Checklist) -> None:
    for name, variables in (("as it is", {}), ("the demo", read_variables(DEMO_SETTINGS))):
        _require_valid(yaml.safe_dump(read_compose(variables)), name)
        checklist.ok(f"compose-spec takes it: {name}")
    with_mistake = yaml.safe_dump(read_compose({})).replace("mem_limit", "mem_limits", 1)
    try:
        _require_valid(with_mistake, "with a mistake")
    except CheckFailedError:
        checklist.ok("and refuses it with a mistake put in")
    else:
        raise CheckFailedError("compose-spec takes an unknown key")
    _ask_client(checklist)


def _require_valid(text: str, name: str) -> None:
    library = importlib.import_module("compose_spec")  # installed for this check alone
    # The library knows no "host-gateway", which is Docker's word for the host's own address.
    text = text.replace("host-gateway", "172.17.0.1")
    try:
        library.PyCompose.from_yaml(text).validate()
    except ValueError as error:
        raise CheckFailedError(f"docker-compose.yml, {name}: {error}") from error


def _ask_client(checklist: Checklist) -> None:
    client = shutil.which("docker-compose")
    if client is None:
        checklist.ok("no docker-compose here: `config` was not tried")
        return
    version = run(client, "version", "--short").strip()
    command = (client, "--file", COMPOSE_FILE)
    own = {"PATH": os.environ["PATH"], "SETTINGS_FILE": EXAMPLE_SETTINGS}
    run(*command, "config", "--quiet", cwd=CHECKOUT, env=own)
    run(*command, "--env-file", DEMO_SETTINGS, "config", "--quiet", cwd=CHECKOUT, env={"PATH": own["PATH"]})
    checklist.ok(f"docker-compose {version} config takes it too, both ways")


def read_compose(variables: Mapping[str, str]) -> dict[str, dict[str, dict[str, object]]]:
    """Anchors merged, and `${NAME:-default}` replaced by the variable or its default."""
    text = COMPOSE_FILE.read_text(encoding="utf-8")
    text = VARIABLE.sub(lambda found: variables.get(found[1]) or found[2], text)
    content: dict[str, dict[str, dict[str, object]]] = yaml.safe_load(text)
    return content


def read_variables(file: Path) -> dict[str, str]:
    """NAME=value lines."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if re.match(r"[A-Z_]+=", line)]
    return dict(line.split("=", 1) for line in lines)


if __name__ == "__main__":
    sys.exit(main(check_compose))
