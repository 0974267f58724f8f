from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.route.fields import REQUEST, Kind, Kinds, request_kind


class KindsTests(SynchronousTestCase):
    def test_same_answer(self) -> None:
        """A name has the same kind, asked the first time or again."""
        for name, kind in (
            (b"CONNECTION", Kind.CONNECTION),
            (b"Accept", Kind.KEEP),
            (b"tE", Kind.DROP),
            (b"X-Forwarded-Something", Kind.IDENTITY),
        ):
            self.assertIs(kind, REQUEST[name])
            self.assertIs(kind, REQUEST[name])

    def test_bounded(self) -> None:
        """However many names a client makes up, few are remembered."""
        kinds = Kinds(request_kind)
        for number in range(10_000):
            self.assertIs(Kind.KEEP, kinds[b"X-%d" % number])
        self.assertLess(len(kinds), 3000)
        self.assertIs(Kind.DROP, kinds[b"Host"])

    def test_long_names(self) -> None:
        """A long name is judged each time and never remembered."""
        kinds = Kinds(request_kind)
        self.assertIs(Kind.KEEP, kinds[b"x" * 20_000])
        self.assertIs(Kind.IDENTITY, kinds[b"X-Forwarded-" + b"x" * 20_000])
        self.assertEqual(0, len(kinds))
