from __future__ import annotations

import base64
import json
from pathlib import Path

from twisted.internet import threads
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, TestCase

from tests.oracle import judged, run

STEP = 10
HEAD = b"GET / HTTP/1.1\r\nHost: gw.test\r\n"
DOCS = Path(__file__).parents[2] / "docs" / "hardening.md"


class OracleTests(TestCase):
    """
    What reaches a backend, judged by somebody else.
    """

    timeout = 180

    def setUp(self) -> Deferred[None]:
        """
        Send a sample of the payloads, in a process of their own.
        """
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        ways = ("plain-split", "plain-completed", "tls")
        sent = threads.deferToThread(run.judge, self.folder, STEP, ways)
        return sent.addCallback(lambda judged: setattr(self, "judged", judged))

    def test_sample(self) -> None:
        """
        Nothing smuggled, poisoned or malformed, no 5xx, no verdict unexplained.
        """
        for way, verdicts in self.judged.items():
            self.assertEqual([], run.failures(verdicts), way)
            self.assertEqual(25, len(verdicts))
            self.assertGreater(run.told(verdicts)["ok"], 10)
        log = (self.folder / "gateway.log").read_text()
        for word in ("Traceback", "bug", "Unhandled"):
            self.assertNotIn(word, log)


class JudgedTests(TestCase):
    """
    The runner itself, and the list of exceptions.
    """

    def test_documented(self) -> None:
        """
        Each exception is in the list for people, and is a payload of the corpus.
        """
        exceptions = {*judged.REJECTED, *judged.ACCEPTED}
        lines = run.CORPUS.read_text().splitlines()
        self.assertLessEqual(exceptions, {json.loads(line)["id"] for line in lines})
        if not DOCS.exists():
            raise SkipTest("the tests lie apart from the documents")
        text = DOCS.read_text()
        self.assertEqual([], [one for one in exceptions if f"`{one}`" not in text])

    def test_failures(self) -> None:
        """
        Only what is explained, payload by payload, is no failure.
        """
        (accepted, *_), (rejected, *_) = judged.ACCEPTED, judged.REJECTED
        for verdict, payload, bad in (
            ("ok", "any", False),
            ("WARN hang", "any", False),
            ("NOTE rejected(not a complete strict request)", "any", False),
            ("NOTE interference", "any", True),
            ("FAIL accepted", accepted, False),
            ("FAIL accepted", rejected, True),
            ("FAIL accepted", "any", True),
            ("FAIL rejected", rejected, False),
            ("FAIL rejected", "any", True),
            *((f"FAIL {w}", accepted, True) for w in ("smuggled", "poisoned", "5xx")),
            ("FAIL malformed", rejected, True),
        ):
            one = {"id": payload, "verdict": [verdict]}
            self.assertEqual([one] if bad else [], run.failures([one]), verdict)

    def test_completed(self) -> None:
        """
        Payloads get the Host and the end that they lack, and nothing else.
        """
        chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        for kind, before, after in (
            ("valid", b"GET / HTTP/1.1\r\n", HEAD + b"\r\n"),
            ("invalid", b"GET / HTTP/1.1\r\n", HEAD + b"\r\n"),
            ("valid", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", None),
            ("valid", chunked + b"0\r\n", chunked + b"0\r\n\r\n"),
            ("invalid", chunked + b"0\r\n", None),
            ("valid", b"GET /", None),
        ):
            wire = base64.b64encode(before).decode()
            (found,) = run.completed([{"cls": kind, "b64": wire, "id": "one"}])
            self.assertEqual("one", found["id"])
            expected = before if after is None else after
            self.assertEqual(expected, base64.b64decode(found["b64"]))
