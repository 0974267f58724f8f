"""
A gateway with rewrite rules.
"""

from __future__ import annotations

from typing import Any

from appgw.config import model
from tests.journey.kit import OK, Backend, JourneyTests
from tests.route.rewriting import rule_set, with_sets


def saying(*lines: bytes, status: bytes = b"200 OK") -> bytes:
    """
    Return an answer with more field lines.
    """
    more = b"".join(line + b"\r\n" for line in lines)
    return OK.replace(b"200 OK\r\n", status + b"\r\n" + more)


class RewritingTests(JourneyTests):
    """
    A gateway with one set of rules for all that it gets.
    """

    def rewriting(
        self, backend: Backend, *rules: model.RewriteRule, **settings: Any
    ) -> None:
        """
        Start a gateway before *backend*, with *rules*.
        """
        config = self.config(backend, **settings)
        self.serve(with_sets(config, rule_set(*rules), plain="set", secure="set"))
