"""Every error that a user can meet, in one tree.

    AutorouterError
    ├── ConfigError            3   the configuration can't be used
    ├── RequestError           400 what the client sent can't be served
    │   ├── UnknownModel       404
    │   ├── OverridesNotAllowed 403
    │   └── ContextTooLong     400
    ├── LocalAuthError         401 the client's local key
    ├── RoutingError           503 no candidate is left (every rejection is named)
    │   ├── AllCooling         429 every provider asked for a pause
    │   ├── Busy               429 a limit of the router's own
    │   ├── Stopping           503 the router is being stopped
    │   └── BudgetExceeded     402
    ├── UpstreamError          502 a provider failed; carries the facts of the failed attempt
    ├── ReceiptError           6   a receipt can't be read, found or verified
    └── AdapterError           7   a client's configuration can't be changed

Each class says how it is seen from outside: `code` (machine-readable, in the body), `http_status`, `exit_code`
(the command line's). Only the outermost layer of the server and of the CLI renders them.
Foreign exceptions are translated where they occur, with `raise ... from`.
"""

from __future__ import annotations

import traceback
from pathlib import Path

EXIT_OK = 0
EXIT_CHECK_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 3
EXIT_UPSTREAM = 4
EXIT_NO_ROUTE = 5
EXIT_RECEIPT = 6
EXIT_ADAPTER = 7


class AutorouterError(Exception):
    """Base of all of ours. `hint` is the next step for the person who reads it, in one clause."""

    code = "internal_error"
    error_type = "server_error"
    http_status = 500
    exit_code = EXIT_CHECK_FAILED

    def __init__(self, message: str, *, hint: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(AutorouterError):
    """The configuration is missing, unreadable or invalid; the message names the key's path."""

    code = "invalid_configuration"
    exit_code = EXIT_CONFIG


class RequestError(AutorouterError):
    """The client's request can't be served as it stands."""

    code = "invalid_request"
    error_type = "invalid_request_error"
    http_status = 400
    exit_code = EXIT_USAGE

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        param: str | None = None,
        http_status: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, param=param)
        if http_status is not None:
            self.http_status = http_status
        if code is not None:
            self.code = code


class UnknownModel(RequestError):
    """The label in `model` is neither ours nor a candidate's."""

    code = "model_not_found"
    http_status = 404


class OverridesNotAllowed(RequestError):
    """The configuration lets no request set a strategy, panel, cap or dial of its own."""

    code = "overrides_not_allowed"
    http_status = 403


class ContextTooLong(RequestError):
    """No eligible candidate has a window for this request. Agents key on exactly this code with HTTP 400."""

    code = "context_length_exceeded"


class LocalAuthError(AutorouterError):
    """The local key is missing or wrong. No hint of which of the two."""

    code = "invalid_api_key"
    error_type = "authentication_error"
    http_status = 401
    exit_code = EXIT_USAGE


class RoutingError(AutorouterError):
    """No candidate can serve the request now; the message lists every rejection."""

    code = "no_eligible_model"
    http_status = 503
    exit_code = EXIT_NO_ROUTE

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class AllCooling(RoutingError):
    """Every capable candidate's provider asked for a pause. 429 with `Retry-After`: that is what agents wait for."""

    code = "rate_limit_exceeded"
    error_type = "rate_limit_error"
    http_status = 429


class Busy(RoutingError):
    """A limit of the router's own. 429 with `Retry-After`, as above."""

    code = "router_busy"
    error_type = "rate_limit_error"
    http_status = 429

    def __init__(self, message: str, *, hint: str, retry_after_s: float, code: str | None = None) -> None:
        super().__init__(message, hint=hint, retry_after_s=retry_after_s)
        if code is not None:
            self.code = code


class Stopping(RoutingError):
    """The router is being stopped; another may take its place in a moment."""

    code = "router_stopping"


class BudgetExceeded(RoutingError):
    """Even the cheapest capable candidate doesn't fit the budget."""

    code = "budget_exceeded"
    error_type = "insufficient_quota"
    http_status = 402


class UpstreamError(AutorouterError):
    """A provider failed. `status` is its HTTP status, None when there was no answer; `http_status` is what the client gets."""

    code = "upstream_error"
    exit_code = EXIT_UPSTREAM

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        http_status: int,
        code: str,
        error_type: str = "server_error",
        status: int | None = None,
        retry_after_s: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.http_status = http_status
        self.code = code
        self.error_type = error_type
        self.status = status
        self.retry_after_s = retry_after_s


class ReceiptError(AutorouterError):
    """A receipt can't be read or found, or doesn't verify; the message names the file and the line."""

    code = "receipt_error"
    exit_code = EXIT_RECEIPT


class AdapterError(AutorouterError):
    """A client's configuration file can't be read or changed."""

    code = "adapter_error"
    exit_code = EXIT_ADAPTER


SITE_FRAMES = 6


def exception_site(exc: BaseException, *, frames: int = SITE_FRAMES) -> str:
    """Where an exception came from: `KeyError at chat.py:41 > router.py:33`, innermost frame last.

    The message is left out on purpose: it may quote a prompt, and the result goes into logs and receipts.
    """
    stack = traceback.extract_tb(exc.__traceback__)[-frames:]
    sites = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in stack)
    return f"{type(exc).__name__} at {sites}" if sites else type(exc).__name__
