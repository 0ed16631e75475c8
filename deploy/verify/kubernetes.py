"""`make verify-kubernetes`: the manifests against the schemas that packages ship."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from deploy.verify.checks import CheckFailedError, Checklist, main, need, run
from deploy.verify.children import CHECKOUT
from deploy.verify.node_tools import node_workspace

MANIFESTS = CHECKOUT / "deploy" / "kubernetes"
FOLDERS = (MANIFESTS, MANIFESTS / "fleet")
SCHEMAS_OF_NODE = {"monitoring.coreos.com": "service_monitor.js", "keda.sh": "keda.js"}
"""The program that knows the kinds of a group, by group."""
KUSTOMIZE = "kustomize.config.k8s.io"


def check_kubernetes(checklist: Checklist) -> None:
    need("kubernetes-validate", package="(no package; pip install kubernetes-validate)")
    for folder in FOLDERS:
        _check_folder(folder, checklist)
    _find_mistake(checklist)
    _find_mistake_for_keda(checklist)


def _check_folder(folder: Path, checklist: Checklist) -> None:
    listed = set(yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"])
    for file in sorted(folder.glob("*.yaml")):
        manifest = yaml.safe_load(file.read_text())
        group = manifest["apiVersion"].split("/")[0]
        if group == KUSTOMIZE:
            continue  # it has no published schema in a package; what it lists is checked below
        if group in SCHEMAS_OF_NODE:
            _ask_node(SCHEMAS_OF_NODE[group], manifest)
        else:
            _validate(file)
        kind = f"{manifest['kind']} {file.relative_to(MANIFESTS)}"
        checklist.require(
            file.name in listed or "example" in file.name, f"{kind} is valid and in the kustomization"
        )
    missing = {name for name in listed if not (folder / name).is_file()}
    checklist.require(not missing, "the kustomization lists nothing that is not there", missing)


def _validate(file: Path) -> None:
    run("kubernetes-validate", "--strict", file)


def _find_mistake(checklist: Checklist) -> None:
    manifest = yaml.safe_load((MANIFESTS / "deployment.yaml").read_text())
    manifest["spec"]["template"]["spec"]["terminationGraceSeconds"] = 40
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(manifest, file)
        file.flush()
        try:
            _validate(Path(file.name))
        except CheckFailedError:
            checklist.ok("a mistake put in is found")
        else:
            raise CheckFailedError("an unknown key was taken")


def _find_mistake_for_keda(checklist: Checklist) -> None:
    """Its schema takes unknown keys, as Kubernetes does for it, but no wrong types."""
    manifest = yaml.safe_load((MANIFESTS / "fleet" / "scaled-object.yaml").read_text())
    manifest["spec"]["maxReplicaCount"] = "many"
    try:
        _ask_node("keda.js", manifest)
    except CheckFailedError:
        checklist.ok("a mistake put in is found by KEDA's schema")
    else:
        raise CheckFailedError("KEDA's schema took a text for a number")


def _ask_node(program: str, manifest: object) -> None:
    done = subprocess.run(  # noqa: S603  a program of our own
        ["node", program],  # noqa: S607  from PATH
        cwd=node_workspace(),
        input=json.dumps(manifest),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CheckFailedError(f"{program}: {done.stderr[-1000:]}")


if __name__ == "__main__":
    sys.exit(main(check_kubernetes))
