"""`make verify-dashboards`, second part: the dashboards' JSON against Grafana's own TypeScript types."""

import json
import sys
from pathlib import Path

from deploy.verify.checks import CheckFailedError, Checklist, main, run
from deploy.verify.children import CHECKOUT
from deploy.verify.node_tools import node_workspace

DASHBOARDS = CHECKOUT / "grafana" / "dashboards"
RAW = "@grafana/schema/dist/esm/raw/composable"
PROGRAM = "check.ts"
TSC = (
    "npx", "--no-install", "tsc", "--noEmit", "--strict", "--skipLibCheck", "--allowImportingTsExtensions",
    "--module", "nodenext", "--target", "es2022", PROGRAM,
)  # fmt: skip
PANEL_TYPES = {
    "stat": ("stat", "StatPanelCfg", ""),
    "timeseries": ("timeseries", "TimeSeriesPanelCfg", "FieldConfig"),
    "state-timeline": ("statetimeline", "StateTimelinePanelCfg", "FieldConfig"),
    "text": ("text", "TextPanelCfg", ""),
}


def check_types(checklist: Checklist) -> None:
    workspace = node_workspace()
    for file in sorted(DASHBOARDS.glob("*.json")):
        _require_types(workspace, file)
        checklist.ok(f"tsc takes {file.name} for a dashboard, and each panel for one of its kind")
    _require_mistake_found(workspace)
    checklist.ok("and finds a mistake that is put in")


def _require_types(workspace: Path, file: Path) -> None:
    (workspace / PROGRAM).write_text(_program(json.loads(file.read_text())))
    run(*TSC, cwd=workspace)


def _program(document: dict[str, object]) -> str:
    """TypeScript that states the type of the dashboard and of each panel's own part."""
    lines = ['import type { DashboardJson, PanelJson } from "./wire.ts";']
    for kind, (folder, name, _) in PANEL_TYPES.items():
        lines.append(
            f'import type * as {_identifier(kind)} from "{RAW}/{folder}/panelcfg/x/{name}_types.gen";'
        )
    lines.append(f"export const dashboard: DashboardJson = {json.dumps(document)};")
    panels = document["panels"] if isinstance(document["panels"], list) else []
    lines.extend(_panel_statement(panel) for panel in panels if panel["type"] != "row")
    return "\n".join(lines)


def _panel_statement(panel: dict[str, object]) -> str:
    kind = str(panel["type"])
    custom = PANEL_TYPES[kind][2]
    types = [f"{_identifier(kind)}.Options", *([f"{_identifier(kind)}.{custom}"] if custom else [])]
    defaults = panel.get("fieldConfig", {})
    shown = defaults.get("defaults", {}) if isinstance(defaults, dict) else {}
    own = {"custom": shown["custom"]} if "custom" in shown else {}
    value = json.dumps({"options": panel["options"], "fieldConfig": {"defaults": own}})
    return f"export const panel{panel['id']}: PanelJson<{', '.join(types)}> = {value};"


def _identifier(kind: str) -> str:
    return kind.title().replace("-", "")


def _require_mistake_found(workspace: Path) -> None:
    document = json.loads((DASHBOARDS / "ai-task-processor.json").read_text())
    panel = next(panel for panel in document["panels"] if panel["type"] == "timeseries")
    panel["options"]["tooltip"]["mode"] = "loud"
    (workspace / PROGRAM).write_text(_program(document))
    try:
        run(*TSC, cwd=workspace)
    except CheckFailedError as error:
        if '"loud"' in str(error):
            return
        raise
    raise CheckFailedError("tsc takes a dashboard with a mistake in it")


if __name__ == "__main__":
    sys.exit(main(check_types))
