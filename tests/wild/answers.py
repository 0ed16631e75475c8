"""What real servers say, word for word where a public report has it."""

import gzip
from collections.abc import Mapping

import orjson

from tests.stubs.scripted_http import Answer

HTML = {"Content-Type": "text/html; charset=utf-8"}
PLAIN = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


XML = {"Content-Type": "application/xml"}


def json_answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, orjson.dumps(body), headers or {})


def openai_error(
    status: int,
    message: str,
    *,
    code: str | int | None = None,
    kind: str = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """An error as OpenAI and most of those that imitate it write it."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json_answer(status, {"error": error}, headers)


def gzipped(answer: Answer) -> Answer:
    """The same answer from a server that compresses whatever was asked for."""
    assert isinstance(answer.body, bytes)
    return Answer(answer.status, gzip.compress(answer.body), {**answer.headers, "Content-Encoding": "gzip"})


def nginx_page(status: int, title: str) -> Answer:
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx/1.24.0</center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(status, page.encode(), {**HTML, "Server": "nginx/1.24.0"})


# In the task API's place: gateways, firewalls, login pages.
GO_NOT_FOUND = Answer(404, b"404 page not found\n", PLAIN)
TRAEFIK_NO_SERVER = Answer(503, b"no available server\n", PLAIN)
FASTAPI_NOT_FOUND = Answer(404, b'{"detail":"Not Found"}')
NGINX_SHEDS = nginx_page(503, "503 Service Temporarily Unavailable")
NGINX_BAD_GATEWAY = nginx_page(502, "502 Bad Gateway")
NGINX_GATEWAY_TIMEOUT = nginx_page(504, "504 Gateway Time-out")
NGINX_GONE = nginx_page(410, "410 Gone")
AWS_WAF_CHALLENGE = Answer(202, b"", {**HTML, "x-amzn-waf-action": "challenge", "Server": "awselb/2.0"})
AWS_WAF_CAPTCHA = Answer(
    405,
    b'<!DOCTYPE html>\n<html lang="en"><head><title>Human Verification</title></head><body></body></html>',
    {**HTML, "x-amzn-waf-action": "captcha", "Server": "CloudFront"},
)
CLOUDFLARE_CHALLENGE = Answer(
    403,
    b'<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title></head><body>'
    b'<span id="challenge-error-text">Enable JavaScript and cookies to continue</span></body></html>',
    {**HTML, "cf-mitigated": "challenge", "Server": "cloudflare", "CF-RAY": "8f1c2d3e4f5a6b7c-FRA"},
)
LOGIN_PAGE = Answer(
    200, b"<!doctype html>\n<html><head><title>Sign in</title></head><body><form></form></body></html>", HTML
)
F5_REJECTED = Answer(
    200,
    b"<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. Please consult "
    b"with your administrator.<br><br>Your support ID is: 8349502384</body></html>",
    {"Content-Type": "text/html", "Cache-Control": "no-cache"},
)
MAINTENANCE_PAGE = Answer(
    202, b"\n\n<html><body><h1>We will be back soon</h1></body></html>", {"Content-Type": "text/html"}
)

# Providers that refuse everything: a key, an account, a network.
OPENROUTER_KEY_LIMIT = json_answer(
    403,
    {
        "error": {
            "message": "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys",
            "code": 403,
        }
    },
)
OPENAI_COUNTRY = openai_error(
    403,
    "Country, region, or territory not supported",
    code="unsupported_country_region_territory",
    kind="request_forbidden",
)
GEMINI_WRONG_KEY = json_answer(
    400,
    [
        {
            "error": {
                "code": 400,
                "message": "API key not valid. Please pass a valid API key.",
                "status": "INVALID_ARGUMENT",
                "details": [
                    {
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": "API_KEY_INVALID",
                        "domain": "googleapis.com",
                    }
                ],
            }
        }
    ],
)
OPENAI_BILLING_LIMIT = openai_error(
    400, "Billing hard limit has been reached", code="billing_hard_limit_reached"
)
LITELLM_BUDGET = openai_error(
    400,
    "Budget has been exceeded! Current cost: 10.01, Max budget: 10.0",
    code="400",
    kind="budget_exceeded",
)
LITELLM_NO_DATABASE = json_answer(
    400, {"error": {"message": "No connected db.", "type": "no_db_connection", "param": None, "code": "400"}}
)
LITELLM_BUDGET_429 = openai_error(
    429,
    "ExceededBudget: User=default_user_id over budget. Spend=10.01, Budget=10.0",
    code="429",
    kind="budget_exceeded",
)
OPENROUTER_NO_CREDITS = json_answer(
    402,
    {
        "error": {
            "message": "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
            "code": 402,
        }
    },
)

# Providers that cannot do one thing.
OLLAMA_NAN = openai_error(500, "failed to encode response: json: unsupported value: NaN", kind="api_error")
LLAMA_TOO_LARGE = json_answer(
    500,
    {
        "error": {
            "code": 500,
            "message": "input is too large to process. increase the physical batch size",
            "type": "server_error",
        }
    },
)
VLLM_NO_BASE64 = json_answer(
    400,
    {
        "object": "error",
        "message": "base64 encoding is not currently supported",
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    },
)
LITELLM_NO_ENCODING_FORMAT = openai_error(
    400,
    "litellm.UnsupportedParamsError: gemini does not support parameters: {'encoding_format': 'base64'}",
    code="400",
    kind="None",
)
MISTRAL_EXTRA_FIELD = json_answer(
    422,
    {
        "detail": [
            {
                "type": "extra_forbidden",
                "loc": ["body", "encoding_format"],
                "msg": "Extra inputs are not permitted",
                "input": "base64",
            }
        ]
    },
)
AZURE_NO_DEPLOYMENT = json_answer(
    404,
    {
        "error": {
            "code": "DeploymentNotFound",
            "message": "The API deployment for this resource does not exist. If you created the deployment "
            "within the last 5 minutes, please wait a moment and try again.",
        }
    },
)
NOT_FOUND_WITHOUT_A_WORD = json_answer(404, {"error": {"message": "Resource not found", "code": "404"}})


def ollama_no_model(model: str) -> Answer:
    return openai_error(404, f'model "{model}" not found, try pulling it first', kind="api_error")


def openai_no_model(status: int, model: str) -> Answer:
    return openai_error(
        status, f"The model `{model}` does not exist or you do not have access to it.", code="model_not_found"
    )


def tei_batch_too_large(count: int, most: int) -> Answer:
    """Text Embeddings Inference."""
    words = f"batch size {count} > maximum allowed batch size {most}"
    return json_answer(422, {"error": words, "error_type": "Validation"})


def dashscope_batch_too_large(most: int) -> Answer:
    message = (
        "<400> InternalError.Algo.InvalidParameter: Value error, batch size is invalid, "
        f"it should not be larger than {most}.: input.contents"
    )
    return openai_error(400, message, code="InvalidParameter", kind="InvalidParameter")


def tokens_a_minute(limit: int, requested: int) -> Answer:
    """A request that no wait makes fit."""
    return openai_error(
        429,
        "Request too large for text-embedding-3-small in organization org-VDAW on tokens per min (TPM): "
        f"Limit {limit}, Requested {requested}. The input or output tokens must be reduced in order to run "
        "successfully. Visit https://platform.openai.com/account/rate-limits to learn more.",
        code="rate_limit_exceeded",
        kind="tokens",
    )


def fastapi_limit(limit: int, most: int) -> Answer:
    """FastAPI with `limit: int = Query(le=most)`."""
    fault = {
        "type": "less_than_equal",
        "loc": ["query", "limit"],
        "msg": f"Input should be less than or equal to {most}",
        "input": str(limit),
        "ctx": {"le": most},
    }
    return json_answer(422, {"detail": [fault]})


def nestjs_limit(most: int) -> Answer:
    message = [f"limit must not be greater than {most}"]
    return json_answer(400, {"message": message, "error": "Bad Request", "statusCode": 400})
