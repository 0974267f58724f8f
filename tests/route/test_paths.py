from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.route.paths import (
    BadPath,
    PathPattern,
    overridden,
    read_override,
    read_path,
)

_PIECES = re.findall(
    r"\S+",
    "/ // . .. ... / a B ~ ; %2e %2E %2f %2F %5c %25 %252e %41 %7e %3b %3B %0d %1f"
    " %00 %7f %c0%af %e0%80%af %f0%80%80%af %C3%A9 %20 %zz % %2 ! $ & ' ( ) * + ,"
    " = : @ | ^ \\ # ? \0 \x7f \x80 \xff",
)
_PATHS = st.lists(st.sampled_from(_PIECES), max_size=12).map(
    lambda pieces: b"/" + "".join(pieces).encode("latin-1")
) | st.binary(max_size=30).map(lambda raw: b"/" + raw)


def _meaning(path: bytes) -> bytes:
    """
    What a tolerant server makes of a path: decoded, dots and slashes solved.
    """
    kept: list[bytes] = []
    segments = unquote_to_bytes(path)[1:].split(b"/")
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return re.sub(rb"/+", b"/", b"/" + b"/".join(kept))


class ReadPathTests(SynchronousTestCase):
    def assertReads(self, expected: bytes, raw: bytes, allow: bool = False) -> None:
        """Fail unless *raw* is read as *expected*."""
        self.assertEqual(expected, read_path(raw, allow), raw)

    def assertBad(self, *paths: bytes, allow: bool = False) -> None:
        """Fail if one of the paths has a reading."""
        for raw in paths:
            try:
                read = read_path(raw, allow)
            except BadPath:
                continue
            self.fail(f"{raw!r} was read as {read!r}")

    def test_clean(self) -> None:
        """A path with nothing to solve is returned as the same object."""
        for raw in (
            b"/",
            b"/a/b.c/d..e/f/",
            b"/a;v=1/b,c/@x:y/!$&'()*+=~-_",
            b"/-._~",
            b'/with_"quotes"|^`{}<>',
        ):
            self.assertIs(raw, read_path(raw, False))

    def test_escapes(self) -> None:
        """Unreserved escapes are decoded, the others written in upper case."""
        self.assertReads(b"/~joe/A-9._", b"/%7ejoe/%41%2d%39%2E%5F")
        self.assertReads(b"/caf%C3%A9%20x", b"/caf%c3%a9%20x")
        self.assertReads(b"/%21%3F%23%3B%3D", b"/%21%3f%23%3b%3d")

    def test_dot_segments(self) -> None:
        """Dot segments are removed however they are spelt."""
        for raw, expected in (
            (b"/public/../admin", b"/admin"),
            (b"/./admin", b"/admin"),
            (b"/a/%2e%2e/admin", b"/admin"),
            (b"/a/.%2E/admin", b"/admin"),
            (b"/a/b/.", b"/a/b/"),
            (b"/a/b/..", b"/a/"),
            (b"/a/..", b"/"),
            (b"/.well-known/x", b"/.well-known/x"),
            (b"/.../..a/a../.b", b"/.../..a/a../.b"),
        ):
            self.assertReads(expected, raw)

    def test_slashes(self) -> None:
        """Repeated slashes become one, after the dot segments are gone."""
        self.assertReads(b"/admin", b"//admin")
        self.assertReads(b"/a/b/", b"/a///b//")
        self.assertReads(b"/a/b", b"/a//../b")
        self.assertReads(b"/", b"//")

    def test_ambiguous(self) -> None:
        """What has two readings is refused by default."""
        self.assertBad(
            b"/a%2fb",
            b"/a%2Fb",
            b"/a%5cb",
            b"/a\\b",
            b"/%252e%252e/",
            b"/%25%34%31",
            b"/%2%35zz",
            b"/a/..;/admin",
            b"/a/.;x=1/admin",
            b"/a/..%3b/admin",
            b"/a/%2e%2e;/admin",
        )

    def test_never(self) -> None:
        """What no path can hold is refused, also where ambiguity is allowed."""
        for allow in (True, False):
            self.assertBad(
                b"",
                b"*",
                b"a/b",
                b"example.com:443",
                b"/a#b",
                b"/a?b",
                b"/a b",
                b"/a\\b",
                b"/%00",
                b"/%0d%0a",
                b"/%1F",
                b"/%7f",
                b"/\x00",
                b"/\r\n",
                b"/\x1f",
                b"/\x7f",
                b"/\x80",
                b"/\xce\xb4",
                b"/..",
                b"/../etc",
                b"/a/../../etc",
                b"/%2e%2e/etc",
                b"/%",
                b"/%2",
                b"/%zz",
                b"/%u002e",
                b"/%c0%af",
                b"/%C1%9c",
                b"/%e0%80%af",
                b"/%f0%80%80%af",
                b"/a/..;/b",
                allow=allow,
            )

    def test_allowed_ambiguity(self) -> None:
        """Where it is allowed, an escaped separator stays what it is."""
        self.assertReads(b"/@scope%2Fpkg", b"/@scope%2fpkg", True)
        self.assertReads(b"/g%5Cx", b"/g%5cx", True)
        self.assertReads(b"/a%2541", b"/a%2541", True)
        self.assertReads(b"/b", b"/a%2Fx/../b", True)

    def test_percent_sign(self) -> None:
        """An escaped percent sign that starts no second escape is plain."""
        self.assertReads(b"/100%25", b"/100%25")
        self.assertReads(b"/50%25off", b"/50%25off")

    def test_dots_beside_escaped_separators(self) -> None:
        """Dot segments that only a second decoding would show never pass."""
        self.assertBad(
            b"/public/..%2fadmin",
            b"/public/..%5cadmin",
            b"/public%2f../admin",
            b"/public%2f%2e%2e",
            b"/public/.%2fadmin",
            allow=True,
        )

    @given(raw=_PATHS, allow=st.booleans())
    def test_idempotent(self, raw: bytes, allow: bool) -> None:
        """A reading is read as itself, and holds no dots, slashes or odd bytes."""
        try:
            read = read_path(raw, allow)
        except BadPath:
            return
        self.assertEqual(read, read_path(read, allow))
        self.assertNotIn(b"//", read)
        self.assertFalse({b".", b".."}.intersection(read.split(b"/")))
        self.assertRegex(read, rb"\A/[!-~]*\Z")
        self.assertNotRegex(read, rb"[#?\\]|%[01]|%7F|%2[dDeE]|%(?![0-9A-F]{2})")

    @given(raw=_PATHS)
    def test_one_meaning(self, raw: bytes) -> None:
        """What a tolerant server makes of a path is what it makes of our reading."""
        try:
            read = read_path(raw, False)
        except BadPath:
            return
        self.assertEqual(_meaning(raw), unquote_to_bytes(read))
        self.assertEqual(_meaning(read), unquote_to_bytes(read))

    @given(raw=_PATHS)
    def test_allowing_changes_no_reading(self, raw: bytes) -> None:
        """A path that is not ambiguous reads the same where ambiguity is allowed."""
        try:
            read = read_path(raw, False)
        except BadPath:
            return
        self.assertEqual(read, read_path(raw, True))


class PathPatternTests(SynchronousTestCase):
    def assertPattern(self, text: str, yes: list[bytes], no: list[bytes]) -> None:
        """Fail unless the pattern takes all of *yes* and none of *no*."""
        pattern = PathPattern.parse(text)
        for path in yes + no:
            lowered = read_path(path, True).lower()
            self.assertEqual(path in yes, pattern.matches(lowered), (text, path))
            self.assertEqual(
                path in yes, bool(re.match(pattern.expression, lowered)), (text, path)
            )

    def test_prefix(self) -> None:
        """An asterisk at the end takes everything that begins like it."""
        self.assertPattern(
            "/images/*",
            yes=[b"/images/", b"/images/a/b", b"/IMAGES/x", b"/x/../images/a"],
            no=[b"/images", b"/imagesx", b"/x/images/", b"/"],
        )
        self.assertPattern("/images*", [b"/images", b"/images2", b"/images/a"], [b"/i"])
        self.assertPattern("/*", [b"/", b"/a"], [])

    def test_exact(self) -> None:
        """Without an asterisk the whole path has to be equal."""
        self.assertPattern("/a", [b"/a", b"/A", b"/%61"], [b"/ab", b"/a/", b"/"])
        self.assertPattern("/", [b"/"], [b"/a"])
        self.assertPattern("/a.b", [b"/a.b"], [b"/axb"])

    def test_pattern_is_read_like_a_path(self) -> None:
        """A pattern and a path that mean the same match, however written."""
        self.assertPattern("/%7EJoe/*", [b"/~joe/x"], [b"/joe/x"])
        self.assertPattern("/café/*", [b"/caf%c3%a9/x", b"/CAF%C3%A9/"], [b"/caf/"])
        self.assertPattern("/my docs/*", [b"/my%20docs/x"], [b"/my/docs"])
        self.assertPattern("/a//b/*", [b"/a/b/c"], [b"/a/c"])
        self.assertPattern("/.*", [b"/.git"], [b"/", b"/git"])
        self.assertPattern("/a/..*", [b"/a/..x"], [b"/", b"/a/x"])

    def test_not_a_pattern(self) -> None:
        """What cannot match, or says less than it seems to, is refused."""
        for text in (
            "",
            "*",
            "images/*",
            "/images/*.jpg",
            "/a/*/b",
            "/a/**",
            "/../x",
            "/a?b",
            "/a#b",
            "/a%2",
            "/a%2*",
            "/%00/*",
        ):
            self.assertRaises(BadPath, PathPattern.parse, text)

    @given(
        raw=_PATHS,
        text=st.lists(
            st.sampled_from([*"/aB.*~", "%2d", "%41", "%c3"]), min_size=1, max_size=5
        ).map(lambda pieces: "/" + "".join(pieces)),
    )
    def test_expression_agrees(self, raw: bytes, text: str) -> None:
        """The expression matches exactly where the pattern does."""
        try:
            lowered = read_path(raw, True).lower()
            pattern = PathPattern.parse(text)
        except BadPath:
            assume(False)
        self.assertEqual(
            pattern.matches(lowered), bool(re.match(pattern.expression, lowered))
        )


class OverriddenTests(SynchronousTestCase):
    def forwarded(self, pattern: str | None, path: bytes, override: str) -> bytes:
        """Return what goes to the backend."""
        return overridden(
            read_override(override),
            None if pattern is None else PathPattern.parse(pattern),
            path,
        )

    def test_azure_table(self) -> None:
        """Each row of Azure's table of path overrides comes out as it says."""
        for pattern, path, expected in (
            (None, b"/home/", b"/override/home/"),
            (None, b"/home/secondhome/", b"/override/home/secondhome/"),
            ("/pathrule*", b"/pathrule/home/", b"/override/home/"),
            (
                "/pathrule*",
                b"/pathrule/home/secondhome/",
                b"/override/home/secondhome/",
            ),
            ("/pathrule*", b"/home/", b"/override/home/"),
            ("/pathrule*", b"/home/secondhome/", b"/override/home/secondhome/"),
            ("/pathrule/home*", b"/pathrule/home/", b"/override/"),
            (
                "/pathrule/home*",
                b"/pathrule/home/secondhome/",
                b"/override/secondhome/",
            ),
            ("/pathrule/", b"/pathrule/", b"/override/"),
        ):
            self.assertEqual(expected, self.forwarded(pattern, path, "/override/"))

    def test_joined_by_one_slash(self) -> None:
        """Whether or not the override ends in a slash, one slash joins."""
        for override in ("/v2", "/v2/"):
            self.assertEqual(b"/v2/x", self.forwarded("/api/*", b"/api/x", override))
            self.assertEqual(b"/v2/x", self.forwarded("/api*", b"/apix", override))
            self.assertEqual(b"/v2/", self.forwarded("/api*", b"/api/", override))
            self.assertEqual(
                override.encode(), self.forwarded("/api*", b"/api", override)
            )
        self.assertEqual(b"/x", self.forwarded("/api/*", b"/api/x", "/"))

    def test_case(self) -> None:
        """The part cut off is found in any case; the rest keeps its own."""
        self.assertEqual(b"/v2/Items", self.forwarded("/api/*", b"/API/Items", "/v2/"))

    def test_no_way_out(self) -> None:
        """What is left after the cut never climbs out of the override."""
        for path in (b"/a../secret", b"/a./x", b"/a..", b"/a..%2Fx"):
            self.assertRaises(BadPath, self.forwarded, "/a*", path, "/inner/")

    def test_not_an_override(self) -> None:
        """An override has to be a path itself."""
        self.assertRaises(BadPath, read_override, "v2")
        self.assertRaises(BadPath, read_override, "/v2?x=1")
