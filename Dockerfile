# The service:             docker build -t ai-task-processor .
# with the embedded model: docker build --target local -t ai-task-processor:local .
#
# docker run -d -p 8001:8001 -v ai-task-processor:/var/lib/ai-task-processor \
#     -e API_BASE_URL=https://tasks.example.com -e OPENAI_API_KEY ai-task-processor
#
# It needs no writable root (--read-only), no capability (--cap-drop ALL) and no root user.
# To pin the base by digest, ask for it with `docker buildx imagetools inspect` and build with
#   --build-arg BASE=python:3.11.15-slim-bookworm@sha256:...
# Any other base with Python 3.11 (python3, its venv module, useradd) will do as well.
ARG BASE=python:3.11.15-slim-bookworm

FROM ${BASE} AS libraries
WORKDIR /build
COPY requirements.txt ./
# pip stands in an environment of its own, so that none is left in the image.
RUN python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/venv \
    && /opt/pip/bin/pip --python /opt/venv/bin/python install \
        --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

FROM libraries AS libraries-local
COPY requirements-local.txt ./
RUN /opt/pip/bin/pip --python /opt/venv/bin/python install \
        --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-local.txt

FROM libraries AS code
WORKDIR /app
COPY run.py ./
COPY shared ./shared
COPY workers ./workers
COPY supervisor ./supervisor
# Compiled here, as nothing can be written where it runs.
RUN python3 -m compileall -q --invalidation-mode unchecked-hash .

FROM code AS code-local
COPY examples ./examples
RUN python3 -m compileall -q --invalidation-mode unchecked-hash examples

FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title="ai-task-processor" \
      org.opencontainers.image.description="Polls an HTTP API for AI tasks, runs them, reports each result back" \
      org.opencontainers.image.licenses="MIT"
# TMPDIR: the workers' sockets. /dev/shm can be written even where the root cannot.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STATE_DIR=/var/lib/ai-task-processor \
    TMPDIR=/dev/shm
RUN groupadd --gid 10001 processor \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin processor \
    && install -d -m 0700 -o 10001 -g 10001 /var/lib/ai-task-processor
WORKDIR /app
USER 10001:10001
VOLUME /var/lib/ai-task-processor
EXPOSE 8001
# Without urllib, which would ask a proxy named in the environment.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", \
    "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('METRICS_PORT') or 8001), timeout=3); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
# No shell between the engine and Python: SIGTERM reaches the service and starts the drain.
ENTRYPOINT ["python", "/app/run.py"]
CMD ["run"]

FROM runtime AS local
COPY --from=libraries-local /opt/venv /opt/venv
COPY --from=code-local /app /app

FROM runtime AS service
COPY --from=libraries /opt/venv /opt/venv
COPY --from=code /app /app
