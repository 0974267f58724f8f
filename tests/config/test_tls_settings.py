from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.config.samples import SOUND, ConfigCase, certificate, key_pem, new_key, pem

ECDSA = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
RULE = "{priority: %d, listener: %s, pool: orders, backend_settings: orders}"
RULES = f"shop: {RULE % (10, 'shop')}\nmore: {RULE % (20, 'more')}"


class ProfileTests(ConfigCase):
    def setUp(self) -> None:
        """
        Write a CA for clients.
        """
        super().setUp()
        self.write("ca.pem", pem(certificate(new_key(), name="ca", ca=True)))

    def text_with(self, profile: str, listeners: str = "", more: str = "") -> str:
        """
        Write a configuration whose listener has a profile.
        """
        return self.text(
            more,
            listeners=listeners
            or "shop: {protocol: https, certificate: shop, ssl_profile: p}",
            ssl_profiles=f"p: {profile}",
            trusted_client_certificates="clients: {certificate_file: ca.pem}",
        )

    def test_sound(self) -> None:
        """
        A profile with a policy, CAs and how strictly they count.
        """
        config = self.sound(
            self.text_with(
                "{ssl_policy: {policy_name: AppGwSslPolicy20220101S},"
                " trusted_client_certificates: [clients],"
                " client_auth_configuration: {verify_client_cert_issuer_dn: true,"
                " verify_client_auth_mode: Passthrough,"
                " verify_client_revocation: None}}"
            )
        )
        profile = config.ssl_profiles["p"]
        self.assertEqual(("clients",), profile.trusted_client_certificates)
        how = profile.client_auth_configuration
        self.assertTrue(how.verify_client_cert_issuer_dn)
        self.assertEqual("Passthrough", how.verify_client_auth_mode)

    def test_policy_of_a_profile(self) -> None:
        """
        A profile's policy is judged as the gateway's is.
        """
        self.only(
            self.text_with(
                "{ssl_policy: {disabled_ssl_protocols: [TLSv1_2, TLSv1_3]}}  # here"
            ),
            "ssl_profiles.p.ssl_policy.disabled_ssl_protocols",
        )

    def test_revocation(self) -> None:
        """
        OCSP for clients is refused, not ignored.
        """
        key = "client_auth_configuration: {verify_client_revocation: OCSP}"
        problem = self.only(
            self.text_with(
                f"{{trusted_client_certificates: [clients], {key}}}  # here"
            ),
            "ssl_profiles.p.client_auth_configuration.verify_client_revocation",
        )
        self.assertIn("does not carry out", problem.found)

    def test_nobody_to_vouch(self) -> None:
        """
        What demands something of CAs needs some; Passthrough doesn't.
        """
        for key, value in (
            ("verify_client_auth_mode", "Strict"),
            ("verify_client_cert_issuer_dn", "true"),
        ):
            how = f"client_auth_configuration: {{{key}: {value}}}"
            policy = "ssl_policy: {policy_name: AppGwSslPolicy20220101}"
            self.only(
                self.text_with(f"{{{policy}, {how}}}  # here"),
                f"ssl_profiles.p.client_auth_configuration.{key}",
            )
        mode = "{client_auth_configuration: {verify_client_auth_mode: Passthrough}}"
        self.sound(self.text_with(mode))

    def test_idle(self) -> None:
        """
        A profile that asks for nothing is a warning.
        """
        self.only(self.text_with("{}  # here"), "ssl_profiles.p", "warning")

    def test_http(self) -> None:
        """
        An http listener has no use for a profile.
        """
        text = self.text_with(
            "{trusted_client_certificates: [clients]}",
            "shop: {protocol: http, ssl_profile: p}  # here",
        )
        self.only(text, "listeners.shop.ssl_profile")

    def test_weak_signatures(self) -> None:
        """
        No client certificates beside versions that need OpenSSL's lowest level.
        """
        text = self.text_with(
            "{trusted_client_certificates: [clients]}",
            more="ssl_policy: {policy_name: AppGwSslPolicy20170401}\n",
        )
        found = [str(one) for one in self.examine(text).problems]
        self.assertEqual(2, len(found), found)
        self.assertIn("listeners.shop.ssl_profile: found client certificates", found[0])
        self.assertNotIn("warning: ", found[0])

    def test_newest_version_of_a_port(self) -> None:
        """
        Listeners of one port have the newest version in common, or clients that
        speak it could not reach all of them.
        """
        one = "host_names: [a.example], ssl_profile: p"
        listeners = f"""
            shop: {{protocol: https, certificate: shop, {one}}}  # here
            more: {{protocol: https, certificate: shop%s}}
        """
        profile = "{ssl_policy: {policy_name: AppGwSslPolicy20170401S}}"
        text = self.text_with(profile, listeners % "").replace(
            SOUND["rules"], RULES.replace("\n", "\n  ")
        )
        problem = self.only(text, "listeners.shop")
        self.assertIn("no TLSv1_3, which listener 'more'", problem.found)
        apart = self.text_with(profile, listeners % ", port: 8443").replace(
            SOUND["rules"], RULES.replace("\n", "\n  ")
        )
        self.sound(apart)
        # Only the oldest version may differ.
        above = profile.replace(
            "policy_name: AppGwSslPolicy20170401S", "disabled_ssl_protocols: [TLSv1_2]"
        )
        self.sound(text.replace(profile, above))


class ListenerTests(ConfigCase):
    def setUp(self) -> None:
        """
        Write an RSA certificate beside the one with P-256.
        """
        super().setUp()
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.write("rsa.pem", pem(certificate(key)))
        self.write("rsa.key", key_pem(key))
        self.certificates = (
            SOUND["certificates"]
            + "\nrsa: {certificate_file: rsa.pem, key_file: rsa.key}"
            + "\nagain: {certificate_file: shop.pem, key_file: shop.key}"
        )

    def listening(self, keys: str, more: str = "") -> str:
        """
        Write a configuration with a listener that has these keys.
        """
        return self.text(
            more,
            certificates=self.certificates,
            listeners=f"shop: {{protocol: https, {keys}}}  # here",
        )

    def test_one_for_each_kind(self) -> None:
        """
        A listener may have a certificate for each kind of key.
        """
        config = self.sound(self.listening("certificates: [rsa, shop]"))
        self.assertEqual(("rsa", "shop"), config.listeners["shop"].presented)
        alone = self.sound(self.listening("certificate: rsa"))
        self.assertEqual(("rsa",), alone.listeners["shop"].presented)

    def test_two_of_a_kind(self) -> None:
        """
        Of two with one kind of key, only one could ever be shown.
        """
        self.only(
            self.listening("certificates: [shop, rsa, again]"),
            "listeners.shop.certificates[2]",
        )

    def test_both_keys(self) -> None:
        """
        One certificate or several, not both.
        """
        self.only(
            self.listening("certificate: shop, certificates: [rsa]"),
            "listeners.shop.certificates",
        )
        self.only(
            self.text(listeners="shop: {protocol: http, certificates: [shop]}  # here"),
            "listeners.shop.certificates",
        )

    def test_no_suite_for_the_key(self) -> None:
        """
        A policy without a suite for the certificate could agree with nobody.
        """
        only_ecdsa = (
            "ssl_policy: {policy_type: %s, min_protocol_version: TLSv1_2,"
            f" cipher_suites: [{ECDSA}]}}\n"
        )
        problem = self.only(
            self.listening("certificate: rsa", only_ecdsa % "Custom"), "listeners.shop"
        )
        self.assertIn("with RSA key", problem.found)
        # In TLS 1.3 suites and keys have nothing to do with each other.
        self.sound(self.listening("certificate: rsa", only_ecdsa % "CustomV2"))
        self.sound(self.listening("certificates: [rsa, shop]", only_ecdsa % "Custom"))

    def test_other_keys(self) -> None:
        """
        Ed25519 goes with the suites for ECDSA.
        """
        key = ed25519.Ed25519PrivateKey.generate()
        self.write("rsa.pem", pem(certificate(key, digest=None)))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.write("rsa.key", private)
        self.sound(
            self.listening(
                "certificate: rsa",
                "ssl_policy: {policy_type: Custom, min_protocol_version: TLSv1_2,"
                f" cipher_suites: [{ECDSA}]}}\n",
            )
        )
