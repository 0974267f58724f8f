"""
Every way in which we answer by ourselves, with the status it means.

An error carries its status: nobody maps it a second time.
"""

from __future__ import annotations

import enum
from http import HTTPStatus


class Refusal(enum.Enum):
    """
    Why a request got our own answer instead of a backend's.

    Attributes:
        status: the HTTP status code (RFC 9110, 15).
        error_info: Azure's word for the access log's ``error_info``, ours
            where Azure has none.
    """

    MALFORMED = (400, "ERRORINFO_INVALID_REQUEST")
    NO_HOST = (400, "ERRORINFO_HTTP_NO_HOST_HEADER")
    BAD_HOST = (400, "ERRORINFO_INVALID_HOST")
    BAD_TARGET = (400, "ERRORINFO_REQUEST_URI_INVALID")
    BAD_REWRITE = (400, "ERRORINFO_INVALID_REWRITE")
    BAD_CONTENT_LENGTH = (400, "ERRORINFO_INVALID_CONTENT_LENGTH")
    NO_CLIENT_CERTIFICATE = (400, "ERRORINFO_HTTPS_NO_CERT")
    BAD_CLIENT_CERTIFICATE = (400, "ERRORINFO_HTTPS_BAD_CERT")
    UNKNOWN_SITE = (404, "ERRORINFO_INVALID_HOST")
    TRACE = (405, "ERRORINFO_INVALID_METHOD_TRACE")
    REQUEST_TIMEOUT = (408, "ERRORINFO_REQUEST_TIMEOUT")
    BODY_TOO_LARGE = (413, "ERRORINFO_REQUEST_BODY_TOO_LARGE")
    TARGET_TOO_LONG = (414, "ERRORINFO_REQUEST_URI_TOO_LONG")
    UNKNOWN_EXPECTATION = (417, "ERRORINFO_INVALID_EXPECTATION")
    MISDIRECTED = (421, "ERRORINFO_MISDIRECTED_REQUEST")
    HEAD_TOO_LARGE = (431, "ERRORINFO_REQUEST_HEADER_TOO_LARGE")
    CLIENT_CLOSED = (499, "ERRORINFO_CLIENT_CLOSED_REQUEST")
    INTERNAL = (500, "ERRORINFO_INTERNAL")
    UNKNOWN_METHOD = (501, "ERRORINFO_INVALID_METHOD")
    UNKNOWN_CODING = (501, "ERRORINFO_INVALID_TRANSFER_CODING")
    PIN_REFUSED = (502, "ERRORINFO_UPSTREAM_CERTIFICATE_REFUSED")
    NO_MEMBER = (502, "ERRORINFO_UPSTREAM_NO_LIVE")
    BAD_ANSWER = (502, "ERRORINFO_UPSTREAM_INVALID_RESPONSE")
    DRAINED = (502, "ERRORINFO_UPSTREAM_DRAINED")
    BACKEND_CLOSED = (502, "ERRORINFO_UPSTREAM_CLOSED_CONNECTION")
    OVERLOADED = (503, "ERRORINFO_OVERLOADED")
    BACKEND_FULL = (503, "ERRORINFO_UPSTREAM_FULL")
    WAITED_TOO_LONG = (503, "ERRORINFO_UPSTREAM_QUEUE_TIMED_OUT")
    BACKEND_TIMEOUT = (504, "ERRORINFO_UPSTREAM_TIMED_OUT")
    TUNNEL_IDLE = (504, "ERRORINFO_TUNNEL_IDLE")
    UNKNOWN_VERSION = (505, "ERRORINFO_INVALID_VERSION")
    LOOP = (508, "ERRORINFO_LOOP_DETECTED")
    REDIRECT_LOOP = (508, "ERRORINFO_REDIRECT_LOOP")

    def __init__(self, status: int, error_info: str) -> None:
        self.status = status
        self.error_info = error_info

    @property
    def phrase(self) -> str:
        """
        The reason phrase of the status.
        """
        if self.status == 499:
            return "Client Closed Request"
        return HTTPStatus(self.status).phrase
