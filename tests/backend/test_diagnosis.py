from __future__ import annotations

from typing import get_args

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend import diagnosis
from appgw.backend.presented import Presented
from appgw.backend.question import Question
from appgw.backend.target import Target
from appgw.backend.verdict import Reason, Verdict
from appgw.config.model import Pin
from appgw.testing import make_ca, make_certificate

ROOT = make_ca("the CA")
LEAF = make_certificate(["orders.internal"], issuer=ROOT)
PRESENTED = Presented.from_der(LEAF.der)
PINNED = Target(address="10.0.0.7", port=443, pins=(Pin(name="a", sha256=b"a" * 32),))
ROOTED = Target(address="10.0.0.7", port=443, roots=(ROOT.der,))
WELL_KNOWN = Target(address="10.0.0.7", port=443, well_known=True)
QUESTION = Question(
    target=PINNED,
    path=b"/",
    host=b"x",
    status_codes=((200, 299), (401, 401)),
    body=b"all is well",
)


class CertificateTests(SynchronousTestCase):
    """
    A certificate that is refused, in Azure's words.
    """

    def test_reasons(self) -> None:
        """
        Each reason begins with Azure's sentence, and all that is known follows.
        """
        for reason, begins in {
            "not-pinned": "Backend server certificate is not whitelisted with",
            "pin-expired": "Backend server certificate is not whitelisted with",
            "no-trust": "Backend server certificate is not whitelisted with",
            "expired": "Backend certificate is invalid. Current date is not within",
            "not-yet-valid": "Backend certificate is invalid. Current date is not",
            "name": "The Common Name of the leaf certificate presented by the",
            "no-certificate": "The Leaf certificate is missing from the",
            "unreadable": "The validity of the backend certificate could not be",
            "error": "The validity of the backend certificate could not be",
        }.items():
            self.assertIn(reason, get_args(Reason))
            verdict = Verdict(False, reason, None, PRESENTED)
            told = diagnosis.refused(verdict, PINNED)
            self.assertTrue(told.startswith(begins), told)
            self.assertTrue(told.endswith(verdict.explain(PINNED)), told)

    def test_both_fingerprints(self) -> None:
        """
        What was presented is told, and what is allowed.
        """
        told = diagnosis.refused(Verdict(False, "not-pinned", None, PRESENTED), PINNED)
        self.assertIn(f"SHA-256 {LEAF.sha256}", told)
        self.assertIn(f"allowed: a (SHA-256 {'61' * 32})", told)

    def chain(self, code: int, depth: int, target: Target) -> str:
        """
        Return what is told of a chain that OpenSSL has broken.
        """
        verdict = Verdict(False, "chain", None, PRESENTED, openssl=(code, depth))
        return diagnosis.refused(verdict, target)

    def test_chains(self) -> None:
        """
        A broken chain is told by where it broke, and by what roots there are.
        """
        for code, depth, target, begins in (
            (19, 1, ROOTED, "The root certificate of the server certificate used"),
            (18, 0, ROOTED, "The root certificate of the server certificate used"),
            (19, 1, WELL_KNOWN, "The backend Server certificate is not signed by a"),
            (18, 0, WELL_KNOWN, "The backend Server certificate is not signed by a"),
            (20, 0, ROOTED, "The Intermediate certificate is missing from the"),
            (21, 0, ROOTED, "The Intermediate certificate is missing from the"),
            (20, 1, ROOTED, "The Intermediate certificate not signed by any Root"),
            (2, 1, ROOTED, "The Intermediate certificate not signed by any Root"),
            (20, 1, WELL_KNOWN, "The Intermediate certificate is not signed by a"),
            (10, 1, ROOTED, "Backend certificate is invalid. Current date is not"),
            (9, 1, ROOTED, "Backend certificate is invalid. Current date is not"),
            (0, 0, ROOTED, "The validity of the backend certificate could not be"),
        ):
            told = self.chain(code, depth, target)
            self.assertTrue(told.startswith(begins), (code, depth, told))

    def test_leaf_as_root(self) -> None:
        """
        A leaf that was listed as a root vouches for nobody: Azure's words for it.
        """
        rooted = attrs.evolve(ROOTED, roots=(LEAF.der,))
        told = self.chain(18, 0, rooted)
        self.assertIn("Intermediate certificate is missing", told)

    def test_other_codes(self) -> None:
        """
        For all else OpenSSL's code is told.
        """
        self.assertIn("associated with error code 24 ", self.chain(24, 1, ROOTED))


class AnswerTests(SynchronousTestCase):
    """
    Answers that are not good, and good ones.
    """

    def test_status(self) -> None:
        """
        What was wanted is told, and what came.
        """
        self.assertEqual(
            "Status code of the backend's HTTP response did not match the probe"
            " setting. Expected:200-299,401 Received:503.",
            diagnosis.wrong_status(QUESTION, 503),
        )

    def test_body(self) -> None:
        """
        What was looked for is told, and where it was not looked for.
        """
        whole = diagnosis.wrong_body(QUESTION, None)
        self.assertTrue(
            whole.endswith("Received response body doesn't contain all is well."), whole
        )
        cut = diagnosis.wrong_body(QUESTION, 65536)
        self.assertEqual(f"{whole} (Only its first 65536 bytes are looked at.)", cut)

    def test_one_line(self) -> None:
        """
        Whatever a configuration or a backend says, the sentence is one line.
        """
        question = attrs.evolve(QUESTION, body=b"a\nb\x1b[31m")
        for told in (
            diagnosis.wrong_body(question, None),
            diagnosis.no_connection("a\nb"),
            diagnosis.bad_answer("a\r\nb"),
        ):
            self.assertTrue(told.isprintable(), told)

    def test_success(self) -> None:
        """
        A good answer's status is told.
        """
        self.assertEqual("Success. Received 204 status code", diagnosis.success(204))
