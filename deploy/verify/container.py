"""An image run as its own configuration says, with a read-only root, by runc."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from deploy.verify.checks import CheckFailedError, run
from deploy.verify.children import Child

JsonObject = dict[str, "JsonObject | list[JsonObject] | list[str] | str | int | bool | None"]
NEVER_CHANGED = ("network", "cgroup")
STOP_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says of how it is to be run."""

    user: str
    environment: Sequence[str]
    entrypoint: Sequence[str]
    command: Sequence[str]
    volumes: Sequence[str]
    directory: str
    ports: Sequence[str]
    health_command: Sequence[str]


def read_config(image: str) -> ImageConfig:
    described = json.loads(run("buildah", "inspect", "--type", "image", image))
    config = described["Docker"]["config"]
    return ImageConfig(
        user=config.get("User") or "",
        environment=config.get("Env") or [],
        entrypoint=config.get("Entrypoint") or [],
        command=config.get("Cmd") or [],
        volumes=list(config.get("Volumes") or {}),
        directory=config.get("WorkingDir") or "/",
        ports=list(config.get("ExposedPorts") or {}),
        health_command=(config.get("Healthcheck") or {}).get("Test", [])[1:],
    )


class Container:
    """One container of `image`, in the host's network, without capabilities; `args` replace the command.

    Its volumes are directories in `folder`, owned by the image's user, as an engine makes them.
    """

    def __init__(
        self,
        image: str,
        folder: Path,
        environment: Mapping[str, str],
        args: Sequence[str] = (),
        entrypoint: Sequence[str] = (),
    ) -> None:
        self.config = read_config(image)
        self._folder = folder
        self._environment = environment
        self._args = [*(entrypoint or self.config.entrypoint), *(args or self.config.command)]
        self._name = f"verify-{folder.name}"
        self._working = run("buildah", "from", image).strip()
        self._child: Child | None = None

    def start(self) -> Child:
        root = run("buildah", "mount", self._working).strip()
        bundle = self._folder / "bundle"
        bundle.mkdir(parents=True, exist_ok=True)
        (bundle / "config.json").unlink(missing_ok=True)
        run("runc", "spec", cwd=bundle)
        spec = json.loads((bundle / "config.json").read_text())
        self._fill(spec, root)
        (bundle / "config.json").write_text(json.dumps(spec))
        self._child = Child(["runc", "run", "--bundle", bundle, self._name], self._folder / "container.log")
        return self._child

    def run_inside(self, *command: str) -> str:
        """The output of a command in the running container. Raises CheckFailedError if it fails."""
        return run("runc", "exec", self._name, *command)

    def fails_inside(self, *command: str) -> bool:
        try:
            self.run_inside(*command)
        except CheckFailedError:
            return True
        return False

    def stop(self) -> int:
        """SIGTERM to its first process; the exit code."""
        if self._child is None:
            raise CheckFailedError("the container was not started")
        run("runc", "kill", self._name, "TERM")
        return self.wait()

    def wait(self, limit_seconds: float = STOP_SECONDS) -> int:
        if self._child is None:
            raise CheckFailedError("the container was not started")
        return self._child.wait(limit_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._child is not None and self._child.exit_code is None:
            run("runc", "kill", self._name, "KILL")
            self._child.wait(STOP_SECONDS)
        run("buildah", "rm", self._working)

    def _fill(self, spec: JsonObject, root: str) -> None:
        user, _, group = self.config.user.partition(":")
        process = cast("JsonObject", spec["process"])
        process.update(
            terminal=False,
            args=list(self._args),
            cwd=self.config.directory,
            user={"uid": int(user), "gid": int(group)},
            env=[*self.config.environment, *(f"{name}={value}" for name, value in self._environment.items())],
            noNewPrivileges=True,
        )
        process["capabilities"] = {}
        spec["root"] = {"path": root, "readonly": True}
        linux = cast("dict[str, list[JsonObject]]", spec["linux"])
        linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] not in NEVER_CHANGED]
        mounts = cast("list[JsonObject]", spec["mounts"])
        mounts += [self._volume(place, int(user), int(group)) for place in self.config.volumes]

    def _volume(self, place: str, user: int, group: int) -> JsonObject:
        source = self._folder / "volumes" / place.strip("/").replace("/", "-")
        if not source.exists():
            source.mkdir(parents=True)
            source.chmod(0o700)
            run("chown", f"{user}:{group}", source)
        return {"destination": place, "type": "bind", "source": str(source), "options": ["rbind", "rw"]}
