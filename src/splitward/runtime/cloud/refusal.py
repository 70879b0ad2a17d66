"""Why a request gets no answer: one sentence, and its status in both protocols."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import grpc


@dataclass(frozen=True)
class Status:
    """A status of gRPC and one of HTTP, and its name in metrics and logs."""

    label: str
    grpc: grpc.StatusCode
    http: int


class Kind(Enum):
    """What may be wrong."""

    INVALID = Status("invalid", grpc.StatusCode.INVALID_ARGUMENT, 400)
    UNKNOWN = Status("unknown", grpc.StatusCode.NOT_FOUND, 404)
    PAIRING = Status("pairing", grpc.StatusCode.FAILED_PRECONDITION, 409)
    TOO_LARGE = Status("too_large", grpc.StatusCode.RESOURCE_EXHAUSTED, 413)
    EXHAUSTED = Status("exhausted", grpc.StatusCode.RESOURCE_EXHAUSTED, 503)
    DRAINING = Status("draining", grpc.StatusCode.UNAVAILABLE, 503)
    LATE = Status("late", grpc.StatusCode.DEADLINE_EXCEEDED, 504)
    FAILED = Status("failed", grpc.StatusCode.INTERNAL, 500)


class Refusal(Exception):  # noqa: N818 - named after what happened
    """A request that gets no answer; ``str`` is one sentence for the client."""

    def __init__(self, kind: Kind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


def invalid(sentence: str) -> Refusal:
    """The client sent what is not due."""
    return Refusal(Kind.INVALID, sentence)


def shown(text: str) -> str:
    """A client's text inside a sentence: quoted, printable ASCII, 60 characters of it at most."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")
