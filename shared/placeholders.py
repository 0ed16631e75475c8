"""Values that stand in an example for a secret that is still to be filled in."""

import re

_TEMPLATE = re.compile(
    r"""
    <.*> | \[.*\] | \{.*\} | \$\{.*\} | \$\(.*\) | \$[a-z-]+ | %[a-z-]+%    # an example's marks, unexpanded
    | .*(\.\.\.|…) | (sk-)?(proj-)?[.*…]+                                   # sk-..., ***
    | ([a-z]+-){0,3}your(-.*|(api|openai|open|key|token|secret).*)?         # put-your-key-here, yourkey
    | (insert|enter|paste|put|fill)-.*(key|token|secret|here)(-.*)?
    | (.*-)?(key|token|secret)(-goes)?-here
    """,
    re.VERBOSE,
)
_TO_BE_CHANGED = re.compile(r"(change|replace)-?(me|this|it|with-.*)?|to-?do|fix-?me|tbd|placeholder")
_NO_KEY = re.compile(
    r"(sk-)?(proj-)?(x{3,}(-x+)*|0+|1234\d*)"
    r"|none|null|nil|undefined|empty|dummy|fake|(sk-)?no-?key(-required)?|not-needed|n/?a|ollama|lm-studio"
    r"|((my|the|openai|api|secret)-)*(key|token|secret)"
)


def is_template(secret: str) -> bool:
    """Is it the text of an example, as `your-api-token` or `<token>`? No secret looks like that."""
    return _TEMPLATE.fullmatch(_plain(secret)) is not None


def is_placeholder(key: str) -> bool:
    """Is it a template, or a word for "to be changed"?"""
    return is_template(key) or _TO_BE_CHANGED.fullmatch(_plain(key)) is not None


def means_no_key(key: str) -> bool:
    """Is it one of the words that servers without keys are given?"""
    return _NO_KEY.fullmatch(_plain(key)) is not None


def _plain(secret: str) -> str:
    return re.sub(r"[-_\s]+", "-", secret.strip().lower()).strip("-")
