"""docker-compose.yml as Compose reads it, its variables replaced."""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from deploy.verify.children import CHECKOUT

COMPOSE_FILE = CHECKOUT / "docker-compose.yml"
DEMO_SETTINGS = CHECKOUT / "deploy" / "demo.env"
VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")


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
