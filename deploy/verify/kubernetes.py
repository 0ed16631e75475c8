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
OPERATOR = "monitoring.coreos.com"
KUSTOMIZE = "kustomize.config.k8s.io"


def check_kubernetes(checklist: Checklist) -> None:
    need("kubernetes-validate", package="(no package; pip install kubernetes-validate)")
    listed = set(yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"])
    for file in sorted(MANIFESTS.glob("*.yaml")):
        manifest = yaml.safe_load(file.read_text())
        group = manifest["apiVersion"].split("/")[0]
        if group == KUSTOMIZE:
            continue  # it has no published schema in a package; what it lists is checked below
        if group == OPERATOR:
            _ask_operator(manifest)
        else:
            _validate(file)
        kind = f"{manifest['kind']} {file.name}"
        checklist.require(
            file.name in listed or "example" in file.name, f"{kind} is valid and in the kustomization"
        )
    missing = {name for name in listed if not (MANIFESTS / name).is_file()}
    checklist.require(not missing, "the kustomization lists nothing that is not there", missing)
    _find_mistake(checklist)


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


def _ask_operator(manifest: object) -> None:
    done = subprocess.run(
        ["node", "service_monitor.js"],  # noqa: S607  from PATH
        cwd=node_workspace(),
        input=json.dumps(manifest),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CheckFailedError(f"ServiceMonitor: {done.stderr[-1000:]}")


if __name__ == "__main__":
    sys.exit(main(check_kubernetes))
