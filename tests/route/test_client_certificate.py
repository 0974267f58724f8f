from __future__ import annotations

import datetime
import ssl
from urllib.parse import unquote

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.listen.clients import read_client_certificate
from appgw.message import ClientCertificate
from appgw.route.client_certificate import client_certificate_variables
from appgw.testing import make_ca, make_certificate
from tests.route.values import arrival

ROOT = make_ca("root")
CLIENT = make_certificate(
    common_name="Zoë",
    issuer=ROOT,
    serial=0xABCDE,
    not_before=datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    not_after=datetime.datetime(2027, 12, 31, 23, 59, 59, tzinfo=datetime.UTC),
)
NAMES = [
    f"client_certificate{end}"
    for end in (
        "",
        "_end_date",
        "_fingerprint",
        "_issuer",
        "_serial",
        "_start_date",
        "_subject",
        "_verification",
    )
]


def variables(client: ClientCertificate | None) -> dict[str, bytes]:
    return client_certificate_variables(
        attrs.evolve(arrival(), client_certificate=client)
    )


class VariableTests(SynchronousTestCase):
    """
    Azure's server variables.
    """

    def test_shown(self) -> None:
        """
        A certificate in eight values.
        """
        shown = read_client_certificate(CLIENT.der, None, None)
        found = variables(shown)
        self.assertEqual(NAMES, list(found))
        pem = found.pop("client_certificate").decode()
        self.assertEqual(CLIENT.der, ssl.PEM_cert_to_DER_cert(unquote(pem)))
        self.assertTrue(pem.startswith("-----BEGIN%20CERTIFICATE-----%0A"))
        self.assertEqual(
            {
                "client_certificate_end_date": b"Dec 31 23:59:59 2027 GMT",
                "client_certificate_fingerprint": shown.fingerprint.encode(),
                "client_certificate_issuer": b"CN=root",
                "client_certificate_serial": b"0ABCDE",
                "client_certificate_start_date": b"Jan  2 03:04:05 2026 GMT",
                "client_certificate_subject": b"CN=Zo\\C3\\AB",
                "client_certificate_verification": b"SUCCESS",
            },
            found,
        )

    def test_nothing(self) -> None:
        """
        Nothing shown and nothing asked come to the same.
        """
        wanted = dict.fromkeys(NAMES, b"") | {NAMES[-1]: b"NONE"}
        for client in (None, ClientCertificate()):
            self.assertEqual(wanted, variables(client))

    def test_failed(self) -> None:
        """
        What has failed is told with the reason.
        """
        found = variables(read_client_certificate(CLIENT.der, "late", None))
        self.assertEqual(b"FAILED:late", found["client_certificate_verification"])
        self.assertEqual(b"CN=root", found["client_certificate_issuer"])
        found = variables(read_client_certificate(b"junk", None, None))
        self.assertEqual(b"", found["client_certificate_end_date"])
        self.assertTrue(found["client_certificate"])

    def test_fields(self) -> None:
        """
        Each value fits into a field line, whatever the client has made up.
        """
        evil = make_certificate(common_name="a\r\nX-Admin: yes\0\x7f\u2028")
        for value in variables(read_client_certificate(evil.der, "x", None)).values():
            self.assertRegex(value, rb"\A[ -~]*\Z")
