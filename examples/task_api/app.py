"""The endpoints."""

import hmac
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

import orjson
from flask import Blueprint, Flask, Response, abort, current_app, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, ValidationError

from examples.task_api.optional import ALL_OPERATIONS, BLUEPRINTS, Operation
from examples.task_api.request import claimant, limit, refusal, reply, store, wait_seconds
from examples.task_api.store import DuplicateTaskError, Store
from examples.task_api.task import Report
from examples.task_api.wire import (
    CORRELATION_ID_MAX_CHARACTERS,
    WORDS_OF_THE_API,
    InvalidBodyError,
    changed_to_wire,
    parse_change,
    parse_json,
    parse_new_task,
    to_wire,
    to_wire_with_outcome,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BODY_MAX_BYTES = 64 * 1024 * 1024
PAGE_TASKS = 200

api = Blueprint("tasks", __name__)


class TaskApi(Flask):
    """A Flask that routes on the path as the client encoded it.

    WSGI decodes the path before Flask splits it, so an id `a/b`, sent as `a%2Fb`, would become
    two segments. The path as it was sent stands in REQUEST_URI (waitress, werkzeug, uWSGI) or
    RAW_URI (gunicorn). Behind a proxy: see that the proxy does not decode it either.
    """

    def wsgi_app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        sent = str(environ.get("REQUEST_URI") or environ["RAW_URI"]).partition("?")[0]
        path = sent if sent.startswith("/") else urlsplit(sent).path
        segments = (quote(unquote_to_bytes(segment), safe="") for segment in path.split("/"))
        environ["PATH_INFO"] = "/".join(segments)
        return super().wsgi_app(environ, start_response)


class TaskIdConverter(BaseConverter):
    """One segment of the path, decoded here, after the path was split. The API's own words are no ids."""

    regex = rf"(?!(?:{'|'.join(WORDS_OF_THE_API)})$)[^/]+"

    def to_python(self, value: str) -> str:
        try:
            return unquote(value, errors="strict")
        except UnicodeDecodeError as error:
            raise ValidationError from error


def create_app(
    database: Path,
    token: str | None,
    operations: Collection[Operation] = ALL_OPERATIONS,
    clock: Callable[[], float] = time.time,
) -> Flask:
    """The task API on `database`; with a `token`, only for those who send it.

    Without one of `operations` it answers 404 or 405 to it, as an API that does not know it. `clock` is the
    store's. The store is `app.extensions["task_store"]`; who made the app closes it.
    """
    app = TaskApi(__name__)
    app.config.update(TOKEN=token or None, MAX_CONTENT_LENGTH=BODY_MAX_BYTES)
    app.extensions["task_store"] = Store(database, clock)
    app.url_map.merge_slashes = False
    app.url_map.converters["task_id"] = TaskIdConverter
    app.before_request(check_token)
    app.register_blueprint(api)
    for operation in operations:
        app.register_blueprint(BLUEPRINTS[operation])
    app.register_error_handler(InvalidBodyError, lambda error: reply({"error": str(error)}, 400))
    app.register_error_handler(DuplicateTaskError, lambda error: reply({"error": str(error)}, 409))
    app.register_error_handler(HTTPException, _http_error)
    return app


def check_token() -> Response | None:
    """Bearer for programs; Basic with the token as password, so that a browser can open the page."""
    token = current_app.config["TOKEN"]
    if token is None or request.endpoint in (None, "tasks.health"):
        return None
    sent = request.authorization
    given = (sent.token or sent.password or "") if sent else ""
    if hmac.compare_digest(given.encode(), token.encode()):
        return None
    response = reply({"error": "send 'Authorization: Bearer' with the API's token"}, 401)
    response.headers["WWW-Authenticate"] = "Basic" if request.path == "/" else "Bearer"
    return response


@api.get("/api/ai-tasks/pending")
def list_pending() -> Response:
    return reply([to_wire(task) for task in store().pending(limit(), wait_seconds())])


@api.patch("/api/ai-tasks/<task_id:task_id>")
def update_task(task_id: str) -> Response:
    change = parse_change(parse_json(request.get_data()))
    correlation_id = request.headers.get("X-Correlation-ID", "")[:CORRELATION_ID_MAX_CHARACTERS]
    report = Report(task_id, change, correlation_id or None)
    [outcome] = store().change([report], claimant())
    if refused := refusal(report, outcome):
        abort(*refused)
    return reply(changed_to_wire(report))


@api.post("/api/ai-tasks")
def create_tasks() -> Response:
    body = parse_json(request.get_data())
    tasks = [parse_new_task(item) for item in (body if isinstance(body, list) else [body])]
    store().add(tasks)
    created = [to_wire(task) for task in tasks]
    return reply(created if isinstance(body, list) else created[0], 201)


@api.get("/api/ai-tasks/<task_id:task_id>")
def show_task(task_id: str) -> Response:
    task = store().get(task_id)
    if task is None:
        abort(404, "there is no such task")
    return reply(to_wire_with_outcome(task))


@api.get("/api/ai-tasks/summary")
def summarize() -> Response:
    summary = store().summary()
    return reply(
        {
            "total": sum(summary.by_state.values()),
            "by_status": {str(state): count for state, count in summary.by_state.items()},
            "reported_more_than_once": summary.reported_more_than_once,
        }
    )


@api.get("/health")
def health() -> Response:
    return reply({"status": "ok"})


@api.get("/")
def page() -> Response:
    html = render_template("tasks.html", summary=store().summary(), tasks=store().newest(PAGE_TASKS))
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(html, mimetype="text/html", headers=policy)


def _http_error(error: HTTPException) -> Response:
    """Flask's own errors as JSON; their headers (Allow, say) stay."""
    response = cast("Response", error.get_response())
    response.data = orjson.dumps({"error": error.description})
    response.content_type = "application/json"
    return response
