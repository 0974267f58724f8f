from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.config.model import SslPolicy, TLSVersion
from appgw.config.policies import (
    PREDEFINED,
    SUITES,
    VERSIONS,
    agreed_too_high,
    resolved,
    suites_for,
    suites_of,
    versions_of,
)

OF_2022 = """
    ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-GCM-SHA256
    ECDHE-ECDSA-AES256-SHA384 ECDHE-ECDSA-AES128-SHA256
    ECDHE-RSA-AES256-GCM-SHA384 ECDHE-RSA-AES128-GCM-SHA256
    ECDHE-RSA-AES256-SHA384 ECDHE-RSA-AES128-SHA256
"""
OF_2017 = """
    ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384
    ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES256-SHA
    ECDHE-ECDSA-AES128-SHA256 ECDHE-ECDSA-AES256-SHA384
    ECDHE-RSA-AES256-GCM-SHA384 ECDHE-RSA-AES128-GCM-SHA256
    ECDHE-RSA-AES256-SHA ECDHE-RSA-AES128-SHA
    AES256-GCM-SHA384 AES128-GCM-SHA256 AES256-SHA256 AES128-SHA256
    AES256-SHA AES128-SHA
"""
OF_2015 = """
    ECDHE-RSA-AES256-GCM-SHA384 ECDHE-RSA-AES128-GCM-SHA256
    ECDHE-RSA-AES256-SHA384 ECDHE-RSA-AES128-SHA256
    ECDHE-RSA-AES256-SHA ECDHE-RSA-AES128-SHA
    AES256-GCM-SHA384 AES128-GCM-SHA256 AES256-SHA256 AES128-SHA256
    AES256-SHA AES128-SHA
    ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-GCM-SHA256
    ECDHE-ECDSA-AES256-SHA384 ECDHE-ECDSA-AES128-SHA256
    ECDHE-ECDSA-AES256-SHA ECDHE-ECDSA-AES128-SHA
    DES-CBC3-SHA
"""
TABLE = (
    ("AppGwSslPolicy20150501", "TLSv1_0 TLSv1_1 TLSv1_2", 28, OF_2015),
    ("AppGwSslPolicy20170401", "TLSv1_1 TLSv1_2", 16, OF_2017),
    ("AppGwSslPolicy20170401S", "TLSv1_2", 16, OF_2017),
    ("AppGwSslPolicy20220101", "TLSv1_2 TLSv1_3", 8, OF_2022),
    (
        "AppGwSslPolicy20220101S",
        "TLSv1_2 TLSv1_3",
        4,
        " ".join(name for name in OF_2022.split() if "GCM" in name),
    ),
)
"""Versions, how many suites before TLS 1.3 Azure lists, and those served."""

STRONG = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
OLD = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"
ANY = st.sets(st.sampled_from(VERSIONS))


class PredefinedTests(SynchronousTestCase):
    def test_table(self) -> None:
        """
        Each policy has its versions and suites, in order, and no other.
        """
        self.assertEqual([name for name, *_ in TABLE], list(PREDEFINED))
        for name, versions, count, served in TABLE:
            policy = SslPolicy(policy_name=name)
            found = resolved(policy)
            self.assertEqual(tuple(versions.split()), found.versions, name)
            self.assertEqual(tuple(served.split()), found.suites, name)
            self.assertEqual(count, len(set(suites_of(policy))), name)

    def test_default(self) -> None:
        """
        Without a word it is AppGwSslPolicy20220101.
        """
        named = SslPolicy(policy_name="AppGwSslPolicy20220101")
        self.assertEqual(resolved(named), resolved(SslPolicy()))

    def test_names(self) -> None:
        """
        Azure's 28 names lead to OpenSSL's, each to another one.
        """
        self.assertEqual(28, len(SUITES))
        self.assertEqual(28, len({suite.openssl for suite in SUITES.values()}))
        for name, openssl in (
            ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE-RSA-AES256-SHA384"),
            ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"),
            ("TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
            ("TLS_RSA_WITH_AES_256_CBC_SHA256", "AES256-SHA256"),
            ("TLS_DHE_DSS_WITH_AES_256_CBC_SHA256", "DHE-DSS-AES256-SHA256"),
            ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", "DES-CBC3-SHA"),
        ):
            self.assertEqual(openssl, SUITES[name].openssl)


class CustomTests(SynchronousTestCase):
    def test_versions(self) -> None:
        """
        Custom ends at TLS 1.2, CustomV2 at TLS 1.3.
        """
        for kind, oldest, found in (
            ("Custom", "TLSv1_0", VERSIONS[:3]),
            ("Custom", "TLSv1_2", ("TLSv1_2",)),
            ("CustomV2", "TLSv1_2", VERSIONS[2:]),
            ("CustomV2", "TLSv1_3", ("TLSv1_3",)),
        ):
            policy = SslPolicy(policy_type=kind, min_protocol_version=oldest)
            self.assertEqual(found, versions_of(policy))

    def test_order(self) -> None:
        """
        Suites keep the order that they were listed in; DHE is left out.
        """
        policy = SslPolicy(
            policy_type="Custom",
            min_protocol_version="TLSv1_2",
            cipher_suites=(OLD, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", STRONG),
        )
        wanted = ("ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES256-GCM-SHA384")
        self.assertEqual(wanted, resolved(policy).suites)

    def test_disabled(self) -> None:
        """
        A version that is disabled is not spoken, whatever the policy says.
        """
        policy = SslPolicy(disabled_ssl_protocols=("TLSv1_0", "TLSv1_2"))
        self.assertEqual(("TLSv1_3",), versions_of(policy))
        gap = SslPolicy(
            policy_name="AppGwSslPolicy20150501", disabled_ssl_protocols=("TLSv1_1",)
        )
        self.assertEqual(("TLSv1_0", "TLSv1_2"), resolved(gap).versions)
        self.assertTrue(resolved(gap).legacy)
        self.assertFalse(resolved(policy).legacy)


class FittingTests(SynchronousTestCase):
    def test_by_version(self) -> None:
        """
        Before TLS 1.2 only SHA-1 suites work; those of TLS 1.3 always do.
        """
        both = (STRONG, OLD)
        self.assertEqual((OLD,), suites_for("TLSv1_0", both, ["RSA"]))
        self.assertEqual((OLD,), suites_for("TLSv1_1", both, ["RSA"]))
        self.assertEqual(both, suites_for("TLSv1_2", both, ["RSA"]))
        self.assertNotEqual((), suites_for("TLSv1_3", (), []))

    def test_by_key(self) -> None:
        """
        A suite goes with one kind of key, and DHE with none.
        """
        everything = tuple(SUITES)
        rsa = suites_for("TLSv1_2", everything, ["RSA"])
        ecdsa = suites_for("TLSv1_2", everything, ["ECDSA"])
        self.assertEqual(13, len(rsa))
        self.assertEqual(6, len(ecdsa))
        self.assertEqual(set(), set(rsa) & set(ecdsa))
        self.assertEqual((), suites_for("TLSv1_2", everything, ["DSS"]))

    def test_neighbours(self) -> None:
        """
        Who stops below the newest version of the port cannot be reached by it.
        """
        old: tuple[TLSVersion, ...] = ("TLSv1_2",)
        new: tuple[TLSVersion, ...] = ("TLSv1_2", "TLSv1_3")
        self.assertEqual("TLSv1_3", agreed_too_high(old, new))
        self.assertIsNone(agreed_too_high(new, old))
        self.assertIsNone(agreed_too_high(("TLSv1_3",), new))
        self.assertIsNone(agreed_too_high(new, ("TLSv1_0", "TLSv1_2")))
        gap: tuple[TLSVersion, ...] = ("TLSv1_0", "TLSv1_2")
        self.assertEqual("TLSv1_1", agreed_too_high(gap, ("TLSv1_1",)))
        self.assertIsNone(agreed_too_high((), new))

    @given(mine=ANY, others=ANY, client=ANY)
    def test_neighbours_for_any_client(
        self, mine: set[TLSVersion], others: set[TLSVersion], client: set[TLSVersion]
    ) -> None:
        """
        Where nothing is found, the newest version that a client has in common
        with the port is the listener's, if it has any in common with that.
        """
        if agreed_too_high(mine, others) is None and client & mine:
            agreed = max(client & (mine | others), key=VERSIONS.index)
            self.assertIn(agreed, mine)
