# Checks that start real things. They want root, Debian's packages and, the first time, its archive and
# the package registries; what each misses it says. `make test` needs none of them.
#   apt-get install buildah runc debootstrap systemd-container prometheus nodejs npm podman netavark \
#       aardvark-dns iptables catatonit busybox-static docker-compose iproute2
.PHONY: dashboards verify verify-image verify-systemd verify-alerts verify-dashboards verify-compose verify-kubernetes \
    verify-ray

VERIFY := .venv-verify
RAY := .venv-ray
VERIFY_PATH := PATH="$(CURDIR)/$(VERIFY)/bin:$$PATH"

dashboards: $(VENV)/.installed-dev  ## write grafana/dashboards anew from deploy/dashboards and docs/alerts.md
	$(BIN)/python -m deploy.dashboards

verify: verify-compose verify-kubernetes verify-dashboards verify-alerts verify-image verify-systemd verify-ray  ## all of the verify targets

verify-image: $(VENV)/.installed-dev $(VERIFY)/.installed  ## build the image, run it with a read-only root (root)
	$(VERIFY_PATH) $(BIN)/python -m deploy.verify.image

verify-systemd: $(VENV)/.installed-dev  ## boot a machine with the systemd unit; stop, kill and freeze it (root)
	$(BIN)/python -m deploy.verify.systemd

verify-alerts: $(VENV)/.installed-dev  ## promtool, and a real Prometheus that sees alerts fire
	$(BIN)/python -m deploy.verify.alerts

verify-dashboards: $(VENV)/.installed-dev  ## each panel's query in a real Prometheus, and Grafana's own types
	$(BIN)/python -m deploy.verify.panels
	$(BIN)/python -m deploy.verify.dashboard_types

verify-compose: $(VENV)/.installed-dev $(VERIFY)/.installed  ## docker-compose.yml by compose-spec, and its demo on podman (root)
	$(VERIFY_PATH) $(VERIFY)/bin/python -m deploy.verify.compose
	$(BIN)/python -m deploy.verify.compose_up

verify-kubernetes: $(VERIFY)/.installed  ## the manifests by the published schemas
	$(VERIFY_PATH) $(VERIFY)/bin/python -m deploy.verify.kubernetes

verify-ray: $(RAY)/.installed  ## POOL=ray on two nodes in network namespaces; a node dies, and the head (root)
	$(RAY)/bin/python -m pytest -m "slow or not slow" tests/integration/test_ray_workers.py tests/integration/test_ray_cluster.py
	$(RAY)/bin/python -m deploy.verify.ray

$(RAY)/.installed: requirements.txt requirements-local.txt requirements-ray.txt requirements-dev.txt
	$(PYTHON) -m venv $(RAY)
	$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    -r requirements.txt -r requirements-local.txt -r requirements-ray.txt -r requirements-dev.txt
	@touch $@

$(VERIFY)/.installed: deploy/verify/requirements.txt
	$(PYTHON) -m venv $(VERIFY)
	$(VERIFY)/bin/python -m pip install --quiet --disable-pip-version-check -r deploy/verify/requirements.txt
	@touch $@
