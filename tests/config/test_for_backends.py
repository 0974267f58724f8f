from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.config.samples import SOUND, ConfigCase, certificate, key_pem, new_key, pem


class ForBackendsTests(ConfigCase):
    """
    Certificates that we show to backends.
    """

    KEY = "backend_settings.orders.client_certificate"

    def showing(self, settings: str = "protocol: https, pins: [orders]") -> str:
        """
        Write a configuration whose settings have a client certificate.
        """
        return self.text(
            certificates=SOUND["certificates"]
            + "\nus: {certificate_file: us.pem, key_file: us.key}",
            backend_settings=f"orders: {{{settings}, client_certificate: us}}  # here",
        )

    def write_with(self, *usages: x509.ObjectIdentifier) -> None:
        """
        Write a certificate with an extended key usage, or without.
        """
        key = new_key()
        extensions = [x509.ExtendedKeyUsage(usages)] if usages else []
        self.write("us.pem", pem(certificate(key, name="us", extensions=extensions)))
        self.write("us.key", key_pem(key))

    def test_sound(self) -> None:
        """
        One that is for clients, for anything, or doesn't say.
        """
        for usages in (
            (),
            (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
            (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,),
        ):
            self.write_with(*usages)
            config = self.sound(self.showing())
            settings = config.backend_settings["orders"]
            self.assertEqual("us", settings.client_certificate)

    def test_not_for_clients(self) -> None:
        """
        One that is for servers only is a warning.
        """
        self.write_with(ExtendedKeyUsageOID.SERVER_AUTH)
        self.only(self.showing(), self.KEY, "warning")

    def test_http(self) -> None:
        """
        With http nobody is shown a certificate.
        """
        self.write_with()
        self.only(self.showing("protocol: http"), self.KEY)
