"""
What the check says of loops, beside what clients meet who follow redirects.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.config import model
from appgw.config.check_redirects import MOST_HOPS, redirect_findings
from appgw.config.problems import Places
from appgw.message import RequestHead
from appgw.refusal import Refusal
from appgw.route.decide import Redirect, Refuse, decide
from appgw.route.table import Table

PORTS = {"http": 80, "https": 443}
NAMES = ("a.example", "b.example")
PATHS = [
    *("/", "/a", "/b", "/a/", "/a/a", "/a/b", "/a/z", "/b/z", "/z", "/ab", "/az"),
    *("/b/a/z", "/a/b/z", "/a/a/z", "/bz"),
]

POOL = model.Destination(pool="web", backend_settings="web")

names = [f"{scheme}-{host}" for scheme in PORTS for host in NAMES]
urls = st.builds(
    "{}://{}{}".format,
    st.sampled_from(list(PORTS)),
    st.sampled_from(NAMES),
    st.sampled_from(PATHS[:7]),
)
targets = st.fixed_dictionaries({"target_url": urls}) | st.fixed_dictionaries(
    {"target_listener": st.sampled_from(names)}
)
destinations = st.sampled_from(
    [POOL, model.Destination(redirect="x"), model.Destination(redirect="y")]
)
patterns = st.sampled_from(["/", "/a", "/a*", "/a/*", "/b", "/b/*", "/a/b*"])


@st.composite
def redirects(draw: Any, name: str) -> model.Redirect:
    """
    Make a redirect to any listener, or to a URL of any.
    """
    path = draw(st.booleans())
    return model.Redirect(name=name, type="Found", include_path=path, **draw(targets))


@st.composite
def path_maps(draw: Any, name: str) -> model.UrlPathMap:
    """
    Make a path map with few rules.
    """
    rules = tuple(
        model.PathRule(name=str(number), paths=(draw(patterns),), destination=there)
        for number, there in enumerate(draw(st.lists(destinations, max_size=3)))
    )
    return model.UrlPathMap(name=name, default=draw(destinations), path_rules=rules)


@st.composite
def configurations(draw: Any) -> model.Config:
    """
    Make two sites on each of two ports, the second of which may take every Host.
    """
    listeners = {
        f"{scheme}-{host}": model.Listener(
            name=f"{scheme}-{host}",
            protocol=scheme,  # type: ignore[arg-type]
            address="0.0.0.0",
            port=port,
            host_names=(host,) if host != "b.example" or draw(st.booleans()) else (),
        )
        for scheme, port in PORTS.items()
        for host in NAMES
    }
    return model.Config(
        listeners=listeners,
        rules={
            name: model.Rule(name=name, priority=at, listener=name, url_path_map=name)
            for at, name in enumerate(listeners, 1)
        },
        url_path_maps={name: draw(path_maps(name)) for name in listeners},
        redirects={name: draw(redirects(name)) for name in ("x", "y")},
        backend_settings={
            "web": model.BackendSettings(name="web", protocol="http", port=80)
        },
    )


def arrives(table: Table, url: str) -> bool:
    """
    Tell whether who asks for *url* comes to something else than redirects.

    A URL of a name that no listener spells out leads to somebody else, if it does
    not stay where it is.
    """
    for _ in range(MOST_HOPS + 2):
        parts = urlsplit(url)
        port = table.ports["0.0.0.0", PORTS[parts.scheme]]
        head = RequestHead(
            method=b"GET",
            scheme=parts.scheme.encode(),
            authority=parts.netloc.encode(),
            path=(parts.path or "/").encode(),
            query=None,
            version=(1, 1),
            headers=[],
        )
        decision = decide(port, head, None)
        if isinstance(decision, Refuse):
            return decision.refusal is not Refusal.REDIRECT_LOOP
        if not isinstance(decision, Redirect):
            return True
        before, url = url, decision.location.decode("ascii")
        stays = url.split("/")[:3] == before.split("/")[:3]
        ours = stays or decision.route.redirect.target_listener or spelt_out(table, url)
        if not ours:
            return True
    return False


def spelt_out(table: Table, url: str) -> bool:
    """
    Tell whether a listener has the name of *url*.
    """
    parts = urlsplit(url)
    site = table.ports["0.0.0.0", PORTS[parts.scheme]].listener_for(parts.netloc)
    return site is not None and parts.netloc in site.host_names.names


class RoundTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(configurations())
    def test_as_followed(self, config: model.Config) -> None:
        """
        A configuration has a loop exactly where some client runs into one.
        """
        table = Table.build(config)
        lost = [
            url
            for scheme in PORTS
            for name in (*NAMES, "other.example")
            for path in PATHS
            if name not in NAMES or spelt_out(table, f"{scheme}://{name}/")
            if not arrives(table, url := f"{scheme}://{name}{path}")
        ]
        told = [finding.found for finding in redirect_findings(config, Places())]
        self.assertEqual(bool(lost), bool(told), f"{lost}\n{told}")
        for text in told:
            url = text.split("'")[3]
            self.assertFalse(arrives(table, url), text)
