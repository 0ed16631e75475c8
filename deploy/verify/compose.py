"""`make verify-compose`: docker-compose.yml by the compose-spec library, and by a client if there is one."""

import importlib
import os
import shutil
import sys

import yaml

from deploy.verify.checklist import Checklist, main
from deploy.verify.children import CHECKOUT
from deploy.verify.commands import CheckFailedError, run
from deploy.verify.compose_file import COMPOSE_FILE, DEMO_SETTINGS, read_compose, read_variables

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


if __name__ == "__main__":
    sys.exit(main(check_compose))
