from __future__ import annotations

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from appgw.config.demands import Demands, demands_on, issuer_of
from appgw.config.model import (
    ClientAuthConfiguration,
    Config,
    Listener,
    SslPolicy,
    SslProfile,
    TrustedClientCertificate,
)
from appgw.config.policies import resolved
from appgw.testing import Issued, make_ca

ROOT = make_ca("root")
FIRST, SECOND = make_ca("first", ROOT), make_ca("second", ROOT)
THIRD = make_ca("third", SECOND)
OLDER = SslPolicy(policy_name="AppGwSslPolicy20170401S")


def trusted(*issued: Issued) -> TrustedClientCertificate:
    return TrustedClientCertificate(
        name="clients", certificates=tuple(one.der for one in issued)
    )


def name_of(found: x509.Name) -> str:
    return found.rfc4514_string().removeprefix("CN=")


class IssuerTests(SynchronousTestCase):
    """
    Whose name a client's issuer must have (Azure's scenarios).
    """

    def test_last_of_the_chain(self) -> None:
        """
        The CA farthest from the root, however the file is ordered.
        """
        for chain, wanted in (
            ((ROOT,), "root"),
            ((ROOT, FIRST), "first"),
            ((SECOND, THIRD, ROOT), "third"),
            ((THIRD, ROOT, SECOND), "third"),
        ):
            self.assertEqual(wanted, name_of(issuer_of(trusted(*chain))))

    def test_two_chains(self) -> None:
        """
        Of two chains in one file the longer one counts, of equals the first.
        """
        for chain, wanted in (
            ((ROOT, FIRST, SECOND), "first"),
            ((ROOT, SECOND, FIRST), "second"),
            ((ROOT, FIRST, SECOND, THIRD), "third"),
        ):
            self.assertEqual(wanted, name_of(issuer_of(trusted(*chain))))

    def test_no_way_up(self) -> None:
        """
        A CA whose own issuer is not there is no end of a chain, and two that
        vouch for each other hold nobody up.
        """
        stranger = make_ca("stranger", make_ca("elsewhere"))
        self.assertEqual("root", name_of(issuer_of(trusted(ROOT, stranger))))
        one = make_ca("one", make_ca("two"))
        two = make_ca("two", make_ca("one"))
        self.assertEqual("root", name_of(issuer_of(trusted(ROOT, one, two))))


class DemandsTests(SynchronousTestCase):
    """
    What a listener demands, by its profile.
    """

    def demanded(self, profile: SslProfile | None, **more: object) -> Demands:
        """
        Return what a listener with this profile demands.
        """
        listener = Listener(
            name="a",
            protocol="https",
            address="::",
            port=1,
            ssl_profile=None if profile is None else profile.name,
        )
        config = Config(
            listeners={"a": listener},
            rules={},
            ssl_profiles={} if profile is None else {profile.name: profile},
            trusted_client_certificates={"clients": trusted(ROOT, FIRST)},
            **more,
        )
        return demands_on(config, listener)

    def profile(self, name: str = "p", **more: object) -> SslProfile:
        """
        Make a profile with our CA.
        """
        return SslProfile(name=name, trusted_client_certificates=("clients",), **more)

    def test_policy(self) -> None:
        """
        The profile's policy wins over the gateway's.
        """
        none = self.demanded(None)
        self.assertEqual(Demands(resolved(SslPolicy())), none)
        self.assertEqual(resolved(OLDER), self.demanded(None, ssl_policy=OLDER).policy)
        own = self.demanded(SslProfile(name="p", ssl_policy=OLDER))
        self.assertEqual(Demands(resolved(OLDER)), own)
        plain = self.demanded(SslProfile(name="p"), ssl_policy=OLDER)
        self.assertEqual(own, plain)

    def test_client(self) -> None:
        """
        CAs make it ask, strictly unless told otherwise.
        """
        client = self.demanded(self.profile()).client
        assert client is not None
        self.assertEqual((ROOT.der, FIRST.der), client.authorities)
        self.assertIsNone(client.issuers)
        self.assertTrue(client.strict)

    def test_passthrough(self) -> None:
        """
        Passthrough asks without CAs, too.
        """
        how = ClientAuthConfiguration(verify_client_auth_mode="Passthrough")
        client = self.demanded(
            SslProfile(name="p", client_auth_configuration=how)
        ).client
        assert client is not None
        self.assertEqual(((), False), (client.authorities, client.strict))

    def test_issuer(self) -> None:
        """
        The issuer's name is demanded where that is asked for.
        """
        how = ClientAuthConfiguration(verify_client_cert_issuer_dn=True)
        client = self.demanded(self.profile(client_auth_configuration=how)).client
        assert client is not None
        self.assertEqual(frozenset([FIRST.certificate.subject]), client.issuers)

    def test_equal_by_content(self) -> None:
        """
        Two profiles that come to the same make the same demands.
        """
        one, other = self.profile("one"), self.profile("other")
        self.assertEqual(self.demanded(one), self.demanded(other))
        self.assertEqual(hash(self.demanded(one)), hash(self.demanded(other)))

    def test_unknown_names(self) -> None:
        """
        A name that leads nowhere is never taken for no demand.
        """
        listener = Listener(
            name="a", protocol="https", address="::", port=1, ssl_profile="missing"
        )
        with self.assertRaises(KeyError):
            demands_on(Config(listeners={}, rules={}), listener)
        profile = SslProfile(name="p", trusted_client_certificates=("missing",))
        with self.assertRaises(KeyError):
            self.demanded(profile)
