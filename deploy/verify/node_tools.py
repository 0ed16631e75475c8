"""The checks that npm packages bring along, installed into the cache."""

import shutil
from pathlib import Path

from deploy.verify.checks import need, run
from deploy.verify.stand_in import cache

SOURCES = Path(__file__).with_name("node")


def node_workspace() -> Path:
    """A directory with the files of `node/` and the packages that they want. Needs npm's registry, once."""
    need("node", "npm", package="nodejs npm")
    folder = cache() / "node"
    folder.mkdir(exist_ok=True)
    wanted = (SOURCES / "package.json").read_text()
    installed = folder / "package.json"
    fresh = installed.exists() and installed.read_text() == wanted and (folder / "node_modules").is_dir()
    for file in SOURCES.iterdir():
        shutil.copy(file, folder)
    if not fresh:
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", cwd=folder)
    return folder
