from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.candidate import Candidate
from appgw.backend.question import Question
from appgw.config import model
from tests.backend.pools import pool_of


def probe(**fields: Any) -> model.Probe:
    return model.Probe(**{"name": "it", "path": "/healthz"} | fields)


class QuestionTests(SynchronousTestCase):
    """
    What is asked of a member, as its pool works it out.
    """

    def candidate(
        self,
        member: str | model.Member = "10.0.0.1",
        it: model.Probe | None = None,
        **settings: Any,
    ) -> Candidate:
        """
        Return the one member of a pool, a host name with one address.
        """
        if it is not None:
            settings = {"probe": it.name, "probes": {it.name: it}} | settings
        pool = pool_of(member, **settings)
        pool.resolve({name: ["10.0.0.9"] for name in pool.names})
        (candidate,) = pool.members
        return candidate

    def question(self, *args: Any, **settings: Any) -> Question:
        """
        Return what that member is asked.
        """
        question = self.candidate(*args, **settings).question
        assert question is not None
        return question

    def test_default(self) -> None:
        """
        Without a probe it is Azure's: / at 127.0.0.1, and 200 to 399 is healthy.
        """
        question = self.question(host_name="orders.internal")
        self.assertEqual(
            (b"/", b"127.0.0.1", None), (question.path, question.host, question.body)
        )
        taken = [status for status in range(100, 600) if question.takes(status)]
        self.assertEqual(list(range(200, 400)), taken)

    def test_target_is_the_requests(self) -> None:
        """
        What must hold before a byte is sent is what must hold for requests,
        whatever Host the probe has: that one never becomes the SNI.
        """
        for member in ("10.0.0.1", "orders.internal"):
            for it in (None, probe(host="other.internal"), probe()):
                for name in (None, "site.internal"):
                    candidate = self.candidate(member, it, host_name=name)
                    assert candidate.question is not None
                    self.assertEqual(candidate.target, candidate.question.target)
        self.assertIsNone(self.question().target.server_name)

    def test_port(self) -> None:
        """
        The probe's port wins over the member's, which wins over the setting's;
        all else that must hold stays.
        """
        member = model.Member(address="10.0.0.1", port=8443)
        self.assertEqual(443, self.question(it=probe()).target.port)
        self.assertEqual(8443, self.question(member, probe()).target.port)
        candidate = self.candidate(member, probe(port=9000))
        assert candidate.question is not None
        target = candidate.question.target
        self.assertEqual(9000, target.port)
        self.assertEqual(8443, candidate.target.port)
        self.assertEqual(candidate.target.pins, target.pins)

    def test_host(self) -> None:
        """
        The Host is the probe's, else what requests get, else 127.0.0.1.
        """
        for it, settings, host in (
            (probe(), {}, b"127.0.0.1"),
            (probe(host="h.internal"), {}, b"h.internal"),
            (probe(host="::1"), {}, b"[::1]"),
            (probe(host="h.internal"), {"host_name": "s.internal"}, b"h.internal"),
            (probe(), {"host_name": "s.internal"}, b"s.internal"),
            (
                probe(pick_host_name_from_backend_settings=True),
                {"pick_host_name_from_backend_address": True},
                b"orders.internal",
            ),
        ):
            question = self.question("orders.internal", it, **settings)
            self.assertEqual(host, question.host)

    def test_match(self) -> None:
        """
        Any one of the ranges will do, their ends included.
        """
        match = model.ProbeMatch(status_codes=((200, 204), (401, 401)), body="gr\xfcn")
        question = self.question(it=probe(match=match))
        taken = [status for status in range(100, 600) if question.takes(status)]
        self.assertEqual([200, 201, 202, 203, 204, 401], taken)
        self.assertEqual("gr\xfcn".encode(), question.body)

    def test_switched_off(self) -> None:
        """
        A setting may want no probes, even if it names one.
        """
        for it in (None, probe()):
            candidate = self.candidate(it=it, probe_enabled=False)
            self.assertIsNone(candidate.question)
