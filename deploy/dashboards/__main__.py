"""`python -m deploy.dashboards`: write the dashboards to grafana/dashboards."""

import json

from deploy.dashboards.documents import documents
from deploy.dashboards.runbook import CHECKOUT

if __name__ == "__main__":
    for name, document in documents().items():
        file = CHECKOUT / "grafana" / "dashboards" / f"{name}.json"
        file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
