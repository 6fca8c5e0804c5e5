"""What the three providers answer when they refuse a request, as their documentation shows it.

S3: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
Google: https://cloud.google.com/storage/docs/json_api/v1/status-codes
Azure: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from xml.sax.saxutils import escape

__all__ = ["Answer", "Kind", "error_inside", "refusal"]


class Kind(Enum):
    """Why a request is refused."""

    SLOW_DOWN = "slow_down"
    TOO_MANY = "too_many"
    INTERNAL = "internal"
    FORBIDDEN = "forbidden"
    EXPIRED = "expired"
    GONE = "gone"
    NO_BUCKET = "no_bucket"
    PRECONDITION = "precondition"


@dataclass
class Answer:
    """A whole answer to a request."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)


# Status, code and message; S3 and Azure say the code, Google the reason.
S3 = {
    Kind.SLOW_DOWN: (503, "SlowDown", "Please reduce your request rate."),
    Kind.TOO_MANY: (429, "TooManyRequests", "Please reduce your request rate."),
    Kind.INTERNAL: (500, "InternalError", "We encountered an internal error. Please try again."),
    Kind.FORBIDDEN: (403, "AccessDenied", "Access Denied"),
    Kind.EXPIRED: (400, "ExpiredToken", "The provided token has expired."),
    Kind.GONE: (404, "NoSuchKey", "The specified key does not exist."),
    Kind.NO_BUCKET: (404, "NoSuchBucket", "The specified bucket does not exist"),
    Kind.PRECONDITION: (412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"),
}
GOOGLE = {
    Kind.SLOW_DOWN: (503, "backendError", "Backend Error"),
    Kind.TOO_MANY: (429, "rateLimitExceeded", "The rate of requests is too high."),
    Kind.INTERNAL: (500, "backendError", "We encountered an internal error. Please try again."),
    Kind.FORBIDDEN: (403, "forbidden", "Caller does not have the permission for this object."),
    Kind.EXPIRED: (401, "authError", "Invalid Credentials"),
    Kind.GONE: (404, "notFound", "No such object"),
    Kind.NO_BUCKET: (404, "notFound", "The specified bucket does not exist."),
    Kind.PRECONDITION: (412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold."),
}
AZURE = {
    Kind.SLOW_DOWN: (503, "ServerBusy", "The server is busy."),
    Kind.TOO_MANY: (503, "ServerBusy", "Operations per second is over the account limit."),
    Kind.INTERNAL: (500, "InternalError", "Server encountered an internal error. Please try again after some time."),
    Kind.FORBIDDEN: (
        403,
        "AuthorizationPermissionMismatch",
        "This request is not authorized.",
    ),
    Kind.EXPIRED: (403, "AuthenticationFailed", "Server failed to authenticate the request."),
    Kind.GONE: (404, "BlobNotFound", "The specified blob does not exist."),
    Kind.NO_BUCKET: (404, "ContainerNotFound", "The specified container does not exist."),
    Kind.PRECONDITION: (412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met."),
}


def refusal(scheme: str, kind: Kind, target: str) -> Answer:
    """Give what a provider (`s3`, `gs`, `az`) answers to a request for a path and query."""
    if scheme == "gs":
        return _google(kind, target)
    status, code, message = (S3 if scheme == "s3" else AZURE)[kind]
    headers = [("Content-Type", "application/xml")]
    if scheme == "az":
        headers.append(("x-ms-error-code", code))
    return Answer(status, _xml(code, message), headers)


def error_inside(kind: Kind) -> Answer:
    """Give S3's answer that begins well and turns out an error, as to the completion of an upload."""
    _, code, message = S3[kind]
    return Answer(200, _xml(code, message), [("Content-Type", "application/xml")])


def _xml(code: str, message: str) -> bytes:
    text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>0A1B2C3D</RequestId></Error>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def _google(kind: Kind, target: str) -> Answer:
    status, reason, message = GOOGLE[kind]
    if "alt=media" in target:
        # Answers to downloads are said in plain words.
        return Answer(status, message.encode(), [("Content-Type", "text/html; charset=UTF-8")])
    error = {"domain": "global", "reason": reason, "message": message}
    body = {"error": {"code": status, "message": message, "errors": [error]}}
    return Answer(status, json.dumps(body).encode(), [("Content-Type", "application/json; charset=UTF-8")])
