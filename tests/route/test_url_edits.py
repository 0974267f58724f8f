from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.route.paths import read_path
from appgw.route.rewrite import RewriteRule
from appgw.route.templates import BadTemplate, Unrewritable
from tests.route.rewriting import field, request, rule, when
from tests.route.values import head


class UrlTests(SynchronousTestCase):
    def test_path(self) -> None:
        """
        A new path is read like any other, and begins with a slash.
        """
        for template, path in (
            ("/new", b"/new"),
            ("buy.aspx", b"/buy.aspx"),
            ("", b"/"),
            ("/{var_uri_path_2}/{var_uri_path_1}", b"/b%20c/a"),
            ("{var_uri_path_1}", b"/a"),
            ("{var_uri_path}", b"/a/b%20c"),
            ("//x/{var_uri_path_1}//y.z/...", b"/x/a/y.z/..."),
            ("/x/../y//./z", b"/y/z"),
            ("/%7Ex/caf\xe9 1", b"/~x/caf%C3%A9%201"),
            ("/%2f%5C", b"/%2F%5C"),
        ):
            made = request(
                rule(when("var_uri_path", "^/(a)/(.*)"), modified_path=template),
                path=b"/a/b%20c",
            )
            self.assertEqual((path, None), (made.path, made.query))

    def test_two_readings(self) -> None:
        """
        A path that a client's words make ambiguous, or no path at all, is refused.
        """
        for word in (
            *(b"..", b"../..", b"%2e%2e", b"a%2fb", b"a%5cb", b"a\\b", b"%00", b"a?b"),
            *(b"a#b", b"a b", b"%", b"%zz", b"\xff", b"..;x/", b"%2541", b"\x7f"),
            *(b".", b"a/..", b"a/.", b"a/%2E/b", b".%2e"),
        ):
            with self.assertRaises(Unrewritable, msg=word):
                request(
                    rule(modified_path="/{http_req_X}/x"),
                    asked=head(b"/", (b"X", word)),
                )

    @given(st.binary(max_size=12) | st.text("./%2eEa;\\", max_size=9).map(str.encode))
    def test_stays_below(self, word: bytes) -> None:
        """
        Whatever a client says, the path stays below what is written before it, and
        means the same to the next reader.
        """
        for ambiguous in (False, True):
            try:
                made = request(
                    rule(modified_path="/tenants/{http_req_X}/x"),
                    asked=head(b"/", (b"X", word)),
                    ambiguous=ambiguous,
                )
            except Unrewritable:
                continue
            self.assertTrue(made.path.startswith(b"/tenants/"))
            self.assertEqual(made.path, read_path(made.path, ambiguous))

    def test_allowed(self) -> None:
        """
        Where a listener allows ambiguous paths, captures may have them.
        """
        made = request(
            rule(when("var_uri_path", "^/a/(.*)"), modified_path="/b/{var_uri_path_1}"),
            path=b"/a/x%2Fy",
            ambiguous=True,
        )
        self.assertEqual(b"/b/x%2Fy", made.path)

    def test_query(self) -> None:
        """
        A query is set, kept, or removed by an empty value.
        """
        for asked, template, query in (
            (b"/a?x=1", "y={var_uri_path}", b"y=/a"),
            (b"/a?x=1", "{var_query_string}&y=2", b"x=1&y=2"),
            (b"/a?x=1", "", None),
            (b"/a?x=1", "{http_req_X}", None),
            (b"/a", "y=1 caf\xe9", b"y=1%20caf%C3%A9"),
            (b"/a", "a=?", b"a=?"),
            (b"/a?", None, b""),
            (b"/a?x=%zz", None, b"x=%zz"),
            (b"/a", None, None),
        ):
            made = request(
                rule(modified_path="/b", modified_query_string=template),
                asked=head(asked),
            )
            self.assertEqual((b"/b", query), (made.path, made.query))

    def test_bad_query(self) -> None:
        """
        A byte that no query may have is refused.
        """
        for word in (b"a b", b"a#b", b"\xff", b"\x01", b"\x7f"):
            with self.assertRaises(Unrewritable):
                request(
                    rule(modified_query_string="a={http_req_X}"),
                    asked=head(b"/", (b"X", word)),
                )

    def test_asterisk(self) -> None:
        """
        An OPTIONS about the server has no URL to rewrite; its fields have.
        """
        made = request(
            rule(
                request=[field("X", "{var_uri_path}")],
                modified_path="/b",
                modified_query_string="c",
                reroute=True,
            ),
            asked=head(b"*", method=b"OPTIONS"),
        )
        self.assertEqual((b"*", None, False), (made.path, made.query, made.reroute))
        self.assertEqual((b"X", b"*"), made.seen.edits[b"x"])

    def test_never(self) -> None:
        """
        A path or query that could never be one is refused when it is read.
        """
        for path in (
            *("/..", "/a?b", "/a#b", "/%zz", "/%0a", "/\\", "/{var_host}%"),
            *("/a/../{var_host}", "/{var_host}/%2e"),
        ):
            with self.assertRaises(BadTemplate, msg=path):
                RewriteRule.parse(rule(modified_path=path), "set")
        for query in ("?a=b", "a#b", "a\nb"):
            with self.assertRaises(BadTemplate, msg=query):
                RewriteRule.parse(rule(modified_query_string=query), "set")
