"""A Debian with Python, made by debootstrap: it stands in for the base image, and for a server."""

import os
import sys
from pathlib import Path

from deploy.verify.checks import need, run
from deploy.verify.children import CHECKOUT

RELEASE = "bookworm"
PYTHON_PACKAGES = ("ca-certificates", "python3", "python3-venv")
SYSTEMD_PACKAGES = ("systemd", "systemd-sysv", "dbus")
BASE_IMAGE = "localhost/ai-task-processor-stand-in:3.11"
WHEELS_INSIDE = "/wheels"


def cache() -> Path:
    """Where what was downloaded is kept from one run to the next."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home) / "ai-task-processor"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def debian_tree(name: str, packages: tuple[str, ...]) -> Path:
    """A root directory with these packages; made once. Needs root and Debian's archive."""
    need("debootstrap", package="debootstrap")
    tree = cache() / name
    if not (tree / "made").exists():
        run("rm", "-rf", tree)
        archives = cache() / "archives"
        archives.mkdir(exist_ok=True)
        run(
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            f"--cache-dir={archives}",
            RELEASE,
            tree,
        )
        run("rm", "-rf", tree / "var/cache/apt/archives")
        (tree / "made").touch()
    return tree


def wheels() -> Path:
    """Everything that the requirements name, downloaded, so that what installs it needs no network."""
    folder = cache() / "wheels"
    folder.mkdir(exist_ok=True)
    for name in ("requirements.txt", "requirements-local.txt"):
        run(
            sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes",
            "--find-links", folder, "--dest", folder, "--requirement", CHECKOUT / name,
        )  # fmt: skip
    (folder / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {WHEELS_INSIDE}\n")
    return folder


def base_image() -> str:
    """The name of an image of the Debian with Python, for the Dockerfile's BASE."""
    need("buildah", package="buildah")
    if run("buildah", "images", "--quiet", "--filter", f"reference={BASE_IMAGE}").strip():
        return BASE_IMAGE
    tree = debian_tree("python", PYTHON_PACKAGES)
    container = run("buildah", "from", "scratch").strip()
    try:
        run("buildah", "add", "--quiet", container, tree, "/")
        run("buildah", "commit", "--quiet", container, BASE_IMAGE)
    finally:
        run("buildah", "rm", container)
    return BASE_IMAGE


def build_image(target: str, name: str) -> None:
    """Build a target of the Dockerfile on the stand-in, which `base_image` has made."""
    folder = wheels()
    run(
        "buildah", "build", "--format", "docker", "--isolation", "chroot",
        "--build-arg", f"BASE={BASE_IMAGE}", "--target", target, "--tag", name,
        "--volume", f"{folder}:{WHEELS_INSIDE}:ro", "--volume", f"{folder / 'pip.conf'}:/etc/pip.conf:ro",
        CHECKOUT,
    )  # fmt: skip
