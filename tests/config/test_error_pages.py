from __future__ import annotations

from appgw.config.files import LARGEST
from tests.config.samples import ConfigCase

LISTENER = "protocol: https, certificate: shop"
PAGE = "<h1>Später</h1>".encode()


class ErrorPageTests(ConfigCase):
    def setUp(self) -> None:
        """
        Write some pages.
        """
        super().setUp()
        self.write("502.html", PAGE, 0o644)
        self.write("Busy.HTM", b"busy")

    def pages(self, pages: str) -> str:
        """
        Write a configuration whose gateway has these pages.
        """
        return self.text(f"custom_error_pages:\n  {pages}  # here\n")

    def test_read(self) -> None:
        """
        Pages of the gateway and of a listener come to the model as bytes.
        """
        own = "custom_error_pages: {502: Busy.HTM}"
        config = self.sound(
            self.text(
                'custom_error_pages: {502: 502.html, "503": Busy.HTM, 414: 502.html}\n',
                listeners=f"shop: {{{LISTENER}, {own}}}",
            )
        )
        self.assertEqual(
            config.custom_error_pages, {502: PAGE, 503: b"busy", 414: PAGE}
        )
        listener = config.listeners["shop"]
        self.assertEqual(listener.custom_error_pages, {502: b"busy"})
        self.assertIsInstance(hash(listener), int)
        self.assertNotIn("busy", repr(config))

    def test_none(self) -> None:
        """
        There need not be any.
        """
        config = self.sound(self.text("custom_error_pages: {}\n"))
        self.assertEqual(config.custom_error_pages, {})
        self.assertEqual(config.listeners["shop"].custom_error_pages, {})

    def test_statuses(self) -> None:
        """
        A page is for a status that the gateway itself answers with.
        """
        for status in ("200", "301", "499", "418", "0502", "5xx", "HttpStatus502"):
            text = self.pages(f"{status}: 502.html")
            problem = self.only(text, f"custom_error_pages.{status}")
            self.assertIn("400, 403, 404, 405, 408", problem.expected)

    def test_firewalls_status(self) -> None:
        """
        Azure's page for 403 is taken, with a warning: nothing answers with it yet.
        """
        self.only(self.pages("403: 502.html"), "custom_error_pages.403", "warning")
        pages = "custom_error_pages: {403: 502.html}"
        text = self.text(listeners=f"shop: {{{LISTENER}, {pages}}}  # here")
        self.only(text, "listeners.shop.custom_error_pages.403", "warning")

    def test_files(self) -> None:
        """
        A page is a file of HTML: not too large, not empty, UTF-8.
        """
        self.write("large.html", b"x" * LARGEST)
        self.write("larger.html", b"x" * (LARGEST + 1))
        self.write("most.html", b"x" * (LARGEST - 1))
        self.write("empty.html", b"")
        self.write("latin.html", b"<p>Sp\xe4ter")
        (self.folder / "folder.html").mkdir()
        for name, found in (
            ("large.html", "1048576 bytes"),
            ("larger.html", "larger"),
            ("empty.html", "an empty file"),
            ("latin.html", "the byte 0xe4 at 5"),
            ("missing.html", "No such file"),
            ("folder.html", "directory"),
            ("shop.key", "shop.key"),
            ("html", "html"),
            ("''", "''"),
            ("[a.html]", "a list"),
            ("", "nothing"),
        ):
            text = self.pages(f"502: {name}")
            problem = self.only(text, "custom_error_pages.502")
            self.assertIn(found, problem.found)
        config = self.sound(self.pages("502: most.html"))
        self.assertEqual(len(config.custom_error_pages[502]), LARGEST - 1)

    def test_no_mapping(self) -> None:
        """
        Pages are a mapping, and each status stands there once.
        """
        for pages in ("[502.html]", "502.html", ""):
            text = self.text(f"custom_error_pages: {pages}  # here\n")
            problem = self.only(text, "custom_error_pages")
            self.assertIn("from statuses to files", problem.expected)
        text = self.text(
            "custom_error_pages:\n  502: 502.html\n  '502': Busy.HTM  # here\n"
        )
        self.only(text, "custom_error_pages.502")

    def test_read_again(self) -> None:
        """
        Whoever reads the configuration again reads the pages again.
        """
        text = self.pages("502: 502.html")
        self.assertEqual(self.sound(text).custom_error_pages[502], PAGE)
        self.write("502.html", b"new")
        self.assertEqual(self.sound(text).custom_error_pages[502], b"new")
