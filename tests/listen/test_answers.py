"""
The pages that we answer with by ourselves.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.listen.answers import page, redirection
from appgw.refusal import Refusal

TRACE_ID = "592d1649f75a8d480a3c4dc6a975309d"
INSIDE = (
    *("backend", "upstream", "pin", "certificate", "pool", "member", "twisted"),
    *("python", "errorinfo", "appgw/", "traceback", "10.", "sha-256"),
)


class PageTests(SynchronousTestCase):
    def test_each(self) -> None:
        """
        Each refusal has a page with its status, a sentence and the trace id.
        """
        for refusal in Refusal:
            if refusal is Refusal.CLIENT_CLOSED:
                continue  # nobody is there to read it
            head, body = page(refusal, TRACE_ID, b"today")
            text = body.decode("ascii")
            self.assertEqual(refusal.status, head.status)
            self.assertEqual(refusal.phrase.encode(), head.reason)
            self.assertEqual(len(body), head.content_length)
            self.assertIn(f"<h1>{refusal.status} {refusal.phrase}</h1>", text)
            self.assertRegex(text, r"<p>[A-Z][^<]+\.</p>")
            self.assertIn(f"Trace id: {TRACE_ID}", text)

    def test_fields(self) -> None:
        """
        A page is dated, never stored, and says its trace id in a field too.
        """
        head, _ = page(Refusal.UNKNOWN_SITE, TRACE_ID, b"today")
        fields = dict(head.headers)
        self.assertEqual(b"today", fields[b"Date"])
        self.assertEqual(b"no-store", fields[b"Cache-Control"])
        self.assertEqual(TRACE_ID.encode(), fields[b"X-AppGW-Trace-Id"])
        self.assertEqual(b"text/html; charset=utf-8", fields[b"Content-Type"])

    def test_nothing_about_the_inside(self) -> None:
        """
        Whatever went wrong behind us, the client is told nothing of it.
        """
        for refusal in Refusal:
            head, body = page(refusal, TRACE_ID, b"today")
            text = body.decode("ascii").replace(TRACE_ID, "").lower()
            # The client's own certificate is its own business.
            text = text.replace("client certificate", "")
            for word in INSIDE:
                self.assertNotIn(word, text, refusal)
            self.assertNotIn(b"Server", dict(head.headers))

    def test_pages_of_one_status_are_the_same(self) -> None:
        """
        A client cannot tell a refused pin from a backend that is down.
        """
        pages = {
            page(refusal, TRACE_ID, b"today")[1]
            for refusal in Refusal
            if refusal.status == 502
        }
        self.assertEqual(1, len(pages))

    def test_what_is_allowed(self) -> None:
        """
        A 405 says which methods are (RFC 9110, 15.5.6), and TRACE is not.
        """
        head, _ = page(Refusal.TRACE, TRACE_ID, b"today")
        allowed = dict(head.headers)[b"Allow"].split(b", ")
        self.assertIn(b"GET", allowed)
        self.assertNotIn(b"TRACE", allowed)
        self.assertNotIn(b"CONNECT", allowed)

    def test_when_to_come_again(self) -> None:
        """
        Who is turned away for a moment is told how long it lasts.
        """
        head, _ = page(Refusal.OVERLOADED, TRACE_ID, b"today")
        self.assertEqual(b"1", dict(head.headers)[b"Retry-After"])

    def test_custom(self) -> None:
        """
        A page of the operator's takes the place of ours, and nothing of its head.
        """
        custom = "<p>Später!</p>".encode()
        head, _ = page(Refusal.OVERLOADED, TRACE_ID, b"today")
        other, body = page(Refusal.OVERLOADED, TRACE_ID, b"today", custom)
        self.assertEqual(custom, body)
        self.assertEqual(len(custom), other.content_length)
        self.assertEqual(head.headers, other.headers)
        self.assertEqual((head.status, head.reason), (other.status, other.reason))


class RedirectionTests(SynchronousTestCase):
    def test_answer(self) -> None:
        """
        It says where to go, twice, and may be stored as long as its status means.
        """
        head, body = redirection(301, b"https://a/?x&y", TRACE_ID, b"today")
        self.assertEqual((301, b"Moved Permanently"), (head.status, head.reason))
        self.assertEqual(len(body), head.content_length)
        fields = dict(head.headers)
        self.assertEqual(b"https://a/?x&y", fields[b"Location"])
        self.assertEqual(b"today", fields[b"Date"])
        self.assertEqual(TRACE_ID.encode(), fields[b"X-AppGW-Trace-Id"])
        self.assertNotIn(b"Cache-Control", fields)
        text = body.decode("ascii")
        self.assertIn('<a href="https://a/?x&amp;y">', text)
        self.assertIn(f"Trace id: {TRACE_ID}", text)

    def test_markup(self) -> None:
        """
        No URL becomes markup, and none is taken for a format.
        """
        location = b"https://a/\"><script>'{trace_id}{0}%s"
        head, body = redirection(302, location, TRACE_ID, b"today")
        self.assertEqual(location, dict(head.headers)[b"Location"])
        self.assertNotIn(b"<script", body)
        self.assertIn(b"{trace_id}{0}%s", body)
