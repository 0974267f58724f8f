"""
Outcomes for the tests of what is recorded, made of the real values.
"""

from __future__ import annotations

import datetime
from typing import Any

from appgw.backend.candidate import Candidate
from appgw.backend.pool import Pool
from appgw.backend.presented import Presented
from appgw.backend.verdict import Verdict
from appgw.config import model
from appgw.message import Arrival, Headers, RequestHead
from appgw.record import Outcome
from appgw.route.table import Route

BEGAN = datetime.datetime(2026, 11, 23, 22, 10, 30, tzinfo=datetime.UTC)

PRESENTED = Presented(der=b"leaf", sha256=bytes(range(32)))
ADMITTED = Verdict(True, "admitted", "orders-2026", PRESENTED)
REFUSED = Verdict(False, "not-pinned", None, PRESENTED)

LISTENER = model.Listener(name="shop", protocol="https", address="::1", port=443)
SETTINGS = model.BackendSettings(name="orders-https", protocol="http", port=9443)


def make_arrival(**changes: Any) -> Arrival:
    """
    Return a client's connection over TLS.
    """
    fields: dict[str, Any] = {
        "address": "192.0.2.7",
        "port": 45123,
        "local_port": 443,
        "scheme": "https",
        "server_name": "shop.example.com",
        "tls_version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
    }
    return Arrival(**(fields | changes))


def make_head(agent: bytes = b"curl/8.5", **changes: Any) -> RequestHead:
    """
    Return the head of a GET with a User-Agent and a Referer.
    """
    fields: dict[str, Any] = {
        "method": b"GET",
        "scheme": b"https",
        "authority": b"shop.example.com",
        "path": b"/orders/12",
        "query": None,
        "version": (1, 1),
        "headers": Headers(
            [
                (b"Host", b"shop.example.com"),
                (b"User-Agent", agent),
                (b"Referer", b"https://shop.example.com/"),
            ]
        ),
    }
    return RequestHead(**(fields | changes))


def make_route(rule: str = "shop-rule", pool: str = "orders") -> Route:
    """
    Return a leaf of the table.
    """
    return Route(
        listener=LISTENER,
        rule=model.Rule(name=rule, priority=10, listener="shop"),
        path_rule=None,
        pool=pool,
        settings=SETTINGS,
        pattern=None,
        override=None,
    )


def make_candidate(member: str = "10.0.0.7", address: str = "10.0.0.7") -> Candidate:
    """
    Return the backend at *address*, configured as *member*.
    """
    config = model.Config(
        listeners={},
        rules={},
        pools={
            "orders": model.Pool(name="orders", members=(model.Member(address=member),))
        },
        backend_settings={"orders-https": SETTINGS},
    )
    pool = Pool(config, ("orders", "orders-https"), key=b"", seconds=float)
    pool.resolve({member: [address]})
    return pool.members[0]


ROUTE = make_route()
CANDIDATE = make_candidate()


def make_outcome(**changes: Any) -> Outcome:
    """
    Return a GET that a backend has answered with 200.
    """
    fields: dict[str, Any] = {
        "arrival": make_arrival(),
        "head": make_head(),
        "trace_id": "592d1649f75a8d480a3c4dc6a975309d",
        "began": 100.0,
        "began_wall": BEGAN.timestamp() + 0.9,
        "listener": "shop",
        "route": ROUTE,
        "candidate": CANDIDATE,
        "verdict": ADMITTED,
        "status": 200,
        "received": 7,
        "sent": 512,
        "answered": 100.25,
        "ended": 100.5,
        "server_status": 201,
        "server_time": 0.125,
        "source_port": 51234,
        "upstream_target": b"/orders/12",
        "upstream_host": b"orders.internal",
        "content_type": b"application/json",
    }
    fields |= changes
    begun = ("arrival", "head", "trace_id", "began", "began_wall", "listener", "route")
    outcome = Outcome(*(fields.pop(name) for name in begun))
    for name, value in fields.items():
        setattr(outcome, name, value)
    return outcome
