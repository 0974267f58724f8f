from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.config.demands import Demands, demands_on
from appgw.config.model import Config, Listener, SslPolicy, SslProfile
from appgw.config.policies import resolved

OLDER = SslPolicy(policy_name="AppGwSslPolicy20170401S")


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
            **more,
        )
        return demands_on(config, listener)

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

    def test_unknown_names(self) -> None:
        """
        A name that leads nowhere is never taken for no demand.
        """
        listener = Listener(
            name="a", protocol="https", address="::", port=1, ssl_profile="missing"
        )
        with self.assertRaises(KeyError):
            demands_on(Config(listeners={}, rules={}), listener)
