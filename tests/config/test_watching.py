from __future__ import annotations

from appgw.config import model
from appgw.config.read import ConfigError, admin_socket
from tests.config.samples import ConfigCase


class StatusTests(ConfigCase):
    def test_off(self) -> None:
        """
        Without the key there is no status port.
        """
        self.assertIsNone(self.sound(self.text()).status)

    def test_defaults(self) -> None:
        """
        It is on loopback, at Prometheus' usual port.
        """
        for text in ("{}", "{address: 127.0.0.1}", "{port: 9100}"):
            config = self.sound(self.text(f"status: {text}\n"))
            self.assertEqual(
                model.Status(address="127.0.0.1", port=9100), config.status
            )

    def test_wrong(self) -> None:
        """
        What is no address, no port or an unknown key is an error.
        """
        for text, key in (
            ("{address: localhost}", "address"),
            ("{port: 0}", "port"),
            ("{path: /metrics}", "path"),
        ):
            self.only(self.text(f"status: {text}  # here\n"), f"status.{key}")

    def test_listeners_port(self) -> None:
        """
        It cannot have a listener's port, be it at an address that contains its
        own or lies in it; another address is another port.
        """
        for listener, status in (
            ("0.0.0.0", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("'::'", "127.0.0.1"),
            ("'::1'", "'::'"),
            ("127.0.0.1", "0.0.0.0"),
        ):
            text = self.text(
                f"status: {{address: {status}, port: 443}}  # here\n",
                listeners=f"shop: {{protocol: https, certificate: shop,"
                f" address: {listener}}}",
            )
            problem = self.only(text, "status.port")
            self.assertIn("which listener 'shop' has", problem.found)
        for listener, status in (("127.0.0.2", "127.0.0.1"), ("'::1'", "0.0.0.0")):
            self.sound(
                self.text(
                    f"status: {{address: {status}, port: 443}}\n",
                    listeners=f"shop: {{protocol: https, certificate: shop,"
                    f" address: {listener}}}",
                )
            )


class AdminTests(ConfigCase):
    def socket(self, more: str = "") -> model.Admin | None:
        """
        Read where the socket is, in both ways.
        """
        admin = self.sound(self.text(more)).admin
        told = admin_socket(str(self.path))
        self.assertEqual(told, None if admin is None else admin.socket)
        return admin

    def test_default(self) -> None:
        """
        Nobody need ask for it: it lies beside the file, with the file's name.
        """
        where = str(self.folder.absolute() / "gateway.sock")
        self.assertEqual(model.Admin(socket=where, asked_for=False), self.socket())
        self.assertEqual(
            model.Admin(socket=where), self.socket("admin: {enabled: true}\n")
        )

    def test_place(self) -> None:
        """
        Another place is relative to the file, like every other.
        """
        where = str(self.folder.absolute() / "other.sock")
        found = self.socket("admin: {socket: other.sock}\n")
        self.assertEqual(model.Admin(socket=where), found)

    def test_off(self) -> None:
        """
        It can be switched off.
        """
        self.assertIsNone(self.socket("admin: {enabled: false}\n"))
        self.assertIsNone(self.socket("admin: {enabled: false, socket: a.sock}\n"))

    def test_no_folder(self) -> None:
        """
        A folder that isn't there is a warning, as somebody may make it yet.
        """
        text = self.text("admin: {socket: no/where.sock}  # here\n")
        self.only(text, "admin.socket", "warning")

    def test_rest_may_be_wrong(self) -> None:
        """
        Where the socket is can be read of a file that is wrong in all else.
        """
        path = self.write("broken.yaml", b"admin: {socket: a.sock}\nlisteners: 7\n")
        where = str(self.folder.absolute() / "a.sock")
        self.assertEqual(where, admin_socket(str(path)))
        path = self.write("other.yaml", b"listeners: 7\n")
        where = str(self.folder.absolute() / "other.sock")
        self.assertEqual(where, admin_socket(str(path)))

    def test_unreadable(self) -> None:
        """
        Where it cannot be read, that is told with file and line.
        """
        for data, where in (
            (b"admin: {socket: []}\n", "1: admin.socket"),
            (b"a: b\nadmin: [a]\n", "2: admin"),
            (b"{\n", "2: "),
            (b"- a\n", "1: "),
        ):
            path = self.write("broken.yaml", data)
            error = self.assertRaises(ConfigError, admin_socket, str(path))
            self.assertIn(f"{path}:{where}", str(error))
        none = str(self.folder / "none.yaml")
        error = self.assertRaises(ConfigError, admin_socket, none)
        self.assertIn("No such file", str(error))
