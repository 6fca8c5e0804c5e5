"""Google's `ifGenerationMatch` where fake-gcs-server ignores it: reads, deletions, copies, resumable uploads.

    with FaultProxy(gcs_server, {3: Reset(), **conditions()}) as proxy:

The rule: a request goes on only while the object's generation is the one given, 0 standing for no object at all. For a
resumable upload that is asked when it begins and again when it ends.
https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, urlsplit

from fault_answers import Answer, Kind, refusal
from fault_kinds import ALWAYS, Exchange, Fault, Request
from fault_proxy import Where

__all__ = ["conditions"]

CONDITION = "ifGenerationMatch"
SESSION = "upload_id"
# The object that a request is about: of a copy, the new one.
OBJECT = re.compile(r"/b/(?P<bucket>[^/]+)/o/(?P<name>[^/]+)(/compose)?$")
BUCKET = re.compile(r"/b/(?P<bucket>[^/]+)/o$")
LAST_BYTES = re.compile(r"bytes (\*|\d+-\d+)/\d+")


def conditions() -> dict[Where, Fault]:
    """Give what a `FaultProxy` is to do with requests that have, or whose upload began with, a condition."""
    return {_may_have_condition: GenerationMatch(times=ALWAYS)}


def _may_have_condition(request: Request) -> bool:
    return f"{CONDITION}=" in request.target or f"{SESSION}=" in request.target


@dataclass(frozen=True)
class Condition:
    """An object, as the path of its metadata, and the generation that it must have."""

    path: str
    generation: str

    def holds(self, exchange: Exchange) -> bool:
        """Whether the object has that generation now."""
        found = exchange.ask(self.path)
        current = json.loads(found.body)["generation"] if found.status == 200 else "0"
        return str(current) == self.generation


@dataclass(frozen=True)
class GenerationMatch(Fault):
    """A request whose condition does not hold is refused; any other goes on."""

    sessions: dict[str, Condition] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, exchange: Exchange) -> None:
        exchange.read()
        query = {name: texts[0] for name, texts in parse_qs(urlsplit(exchange.seen.target).query).items()}
        condition = self._condition(exchange, query)
        if condition and not condition.holds(exchange):
            exchange.send(refusal(exchange.scheme, Kind.PRECONDITION, exchange.seen.target))
            return
        answer = exchange.forward()
        if condition and SESSION not in query and query.get("uploadType") == "resumable":
            self._remember(answer, condition)
        exchange.send(answer)

    def _condition(self, exchange: Exchange, query: dict[str, str]) -> Condition | None:
        if SESSION in query:
            ends = LAST_BYTES.fullmatch(exchange.seen.headers.get("content-range", "bytes */0"))
            with self.lock:
                return self.sessions.get(query[SESSION]) if ends and exchange.seen.method in ("PUT", "POST") else None
        if CONDITION not in query:
            return None
        path = urlsplit(exchange.seen.target).path
        if one := OBJECT.search(path):
            return Condition(f"/storage/v1/b/{one['bucket']}/o/{one['name']}", query[CONDITION])
        bucket = BUCKET.search(path)
        if not bucket or query.get("uploadType") != "resumable":
            # Uploads of one request are the server's business; it knows their conditions.
            return None
        name = query.get("name") or json.loads(exchange.body or b"{}")["name"]
        return Condition(f"/storage/v1/b/{bucket['bucket']}/o/{quote(name, safe='')}", query[CONDITION])

    def _remember(self, answer: Answer, condition: Condition) -> None:
        for name, text in answer.headers:
            if name.lower() == "location":
                with self.lock:
                    self.sessions[parse_qs(urlsplit(text).query)[SESSION][0]] = condition
