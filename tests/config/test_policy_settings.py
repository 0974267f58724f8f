from __future__ import annotations

from appgw.config import check_tls
from appgw.config.model import SslPolicy
from tests.config.samples import ConfigCase

STRONG = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
ECDSA = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"

EPHEMERAL = "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"


def custom(kind: str, oldest: str, *suites: str) -> str:
    """
    Write a custom policy.
    """
    listed = ", ".join(suites)
    return (
        f"{{policy_type: {kind}, min_protocol_version: {oldest},"
        f" cipher_suites: [{listed}]}}"
    )


def policy(text: str) -> str:
    """
    Write the gateway's policy on one marked line.
    """
    return f"ssl_policy: {text}  # here\n"


class PolicyTests(ConfigCase):
    def test_predefined(self) -> None:
        """
        The policies that are still in use are read without a word.
        """
        for name in (
            "AppGwSslPolicy20170401S",
            "AppGwSslPolicy20220101",
            "AppGwSslPolicy20220101S",
        ):
            text = self.text(
                policy(f"{{policy_type: Predefined, policy_name: {name}}}")
            )
            config = self.sound(text)
            self.assertEqual(SslPolicy(policy_name=name), config.ssl_policy)

    def test_withdrawn_versions(self) -> None:
        """
        TLS 1.0 and 1.1 are served, with a warning.
        """
        problem = self.only(
            self.text(policy("{policy_name: AppGwSslPolicy20170401}")),
            "ssl_policy",
            "warning",
        )
        self.assertIn("TLSv1_1, withdrawn", problem.found)

    def test_what_is_not_served(self) -> None:
        """
        Suites that OpenSSL was built without, and DHE, are named.
        """
        text = self.text(policy("{policy_name: AppGwSslPolicy20150501}"))
        found = "\n".join(str(one) for one in self.examine(text).problems)
        self.assertIn("TLSv1_0 and TLSv1_1, withdrawn", found)
        self.assertIn("TLS_RSA_WITH_3DES_EDE_CBC_SHA, TLS_DHE_DSS_WITH_3DES", found)
        self.assertIn("TLS_DHE_RSA_WITH_AES_128_CBC_SHA", found)
        self.assertEqual(3, found.count("ssl_policy: "))
        self.assertEqual(3, found.count("warning: "))

    def test_custom(self) -> None:
        """
        Both custom types are read.
        """
        for text in (
            custom("Custom", "TLSv1_2", ECDSA, STRONG),
            custom("CustomV2", "TLSv1_2", ECDSA),
            custom("CustomV2", "TLSv1_3"),
            "{policy_type: CustomV2, min_protocol_version: TLSv1_3}",
            "{disabled_ssl_protocols: [TLSv1_0, TLSv1_1]}",
        ):
            self.sound(self.text(policy(text)))

    def test_keys_of_another_type(self) -> None:
        """
        Keys that a type has no use for are errors.
        """
        named = "policy_name: AppGwSslPolicy20220101"
        for text, key in (
            (f"{{{named}, min_protocol_version: TLSv1_2}}", "min_protocol_version"),
            (f"{{{named}, cipher_suites: [{ECDSA}]}}", "cipher_suites"),
            (
                custom("Custom", "TLSv1_2", ECDSA).replace("{", f"{{{named}, "),
                "policy_name",
            ),
            (custom("Custom", "TLSv1_3", ECDSA), "min_protocol_version"),
            (custom("CustomV2", "TLSv1_1", ECDSA), "min_protocol_version"),
        ):
            self.only(self.text(policy(text)), f"ssl_policy.{key}")

    def test_what_is_missing(self) -> None:
        """
        A custom policy has a version and suites.
        """
        for text in (
            f"{{policy_type: Custom, cipher_suites: [{ECDSA}]}}",
            "{policy_type: Custom, min_protocol_version: TLSv1_2}",
            custom("CustomV2", "TLSv1_2"),
        ):
            self.only(self.text(policy(text)), "ssl_policy")

    def test_nothing_left(self) -> None:
        """
        A policy that leaves no version, or none with a suite, is an error.
        """
        self.only(
            self.text(policy("{disabled_ssl_protocols: [TLSv1_2, TLSv1_3]}")),
            "ssl_policy.disabled_ssl_protocols",
        )
        problems = self.examine(
            self.text(policy(custom("Custom", "TLSv1_2", EPHEMERAL)))
        ).problems
        self.assertIn("TLSv1_2 without any suite", "\n".join(map(str, problems)))
        self.assertIn("error", [problem.severity for problem in problems])

    def test_a_version_without_suites(self) -> None:
        """
        A version that none of the suites goes with is a warning.
        """
        text = self.text(policy(custom("CustomV2", "TLSv1_2", EPHEMERAL)))
        problems = [str(problem) for problem in self.examine(text).problems]
        self.assertEqual(2, len(problems))
        self.assertIn("TLSv1_2 without any suite", problems[1])
        self.assertTrue(all("warning: " in problem for problem in problems))

    def test_suites_of_no_use(self) -> None:
        """
        Suites of TLS 1.2 are never used where only TLS 1.3 is spoken.
        """
        text = custom("CustomV2", "TLSv1_3", ECDSA)
        self.only(self.text(policy(text)), "ssl_policy.cipher_suites", "warning")

    def test_unknown_suites(self) -> None:
        """
        A suite that Azure has no name for is an error, with the nearest name.
        """
        for suite, near in (
            ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA348", STRONG),
            ("ECDHE-RSA-AES256-GCM-SHA384", STRONG),
            ("tls_ecdhe_ecdsa_with_aes_256_gcm_sha384", ECDSA),
            ("TLS_AES_128_GCM_SHA256", "go without saying"),
            ('""', "TLS_"),
        ):
            problem = self.only(
                self.text(policy(custom("CustomV2", "TLSv1_2", ECDSA, suite))),
                "ssl_policy.cipher_suites[1]",
            )
            self.assertIn(near, problem.expected)

    def test_unknown_words(self) -> None:
        """
        Types, names and versions are Azure's, as Azure writes them.
        """
        for key, value in (
            ("policy_type", "custom"),
            ("policy_name", "AppGwSslPolicy2022"),
            ("min_protocol_version", "TLSv1.2"),
        ):
            self.only(self.text(policy(f"{{{key}: {value}}}")), f"ssl_policy.{key}")
        text = self.text(policy("{disabled_ssl_protocols: [SSLv3]}"))
        self.only(text, "ssl_policy.disabled_ssl_protocols[0]")

    def test_an_openssl_without(self) -> None:
        """
        Versions that OpenSSL was built without are said, and an error alone.
        """
        self.patch(check_tls, "speaks", lambda version: version != "TLSv1_3")
        problem = self.only(
            self.text(policy("{policy_name: AppGwSslPolicy20220101}")),
            "ssl_policy",
            "warning",
        )
        self.assertIn("TLSv1_3, which this machine's OpenSSL", problem.found)
        only13 = "{policy_type: CustomV2, min_protocol_version: TLSv1_3}"
        self.only(self.text(policy(only13)), "ssl_policy")

    def test_this_openssl(self) -> None:
        """
        What OpenSSL can do is asked, not guessed.
        """
        self.assertTrue(check_tls.speaks("TLSv1_2") and check_tls.speaks("TLSv1_3"))
        self.assertTrue(check_tls.builds(STRONG))
        self.assertFalse(check_tls.builds("TLS_DHE_DSS_WITH_3DES_EDE_CBC_SHA"))
