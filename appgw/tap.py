"""
twistd's way in: ``twistd appgw --config gateway.yaml``.

The one place that imports the global reactor and installs signal handlers.
"""

from __future__ import annotations

import signal
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet import reactor
from twisted.python import usage

from appgw.config.read import ConfigError
from appgw.service import Gateway


class Options(usage.Options):
    """
    What ``twistd appgw`` takes.
    """

    synopsis = "[options]"
    longdesc = "Serves the application gateway that a configuration file describes."
    optParameters = [  # noqa: RUF012 - Twisted's way of declaring options
        ["config", "c", None, "The configuration file, YAML."],
    ]

    def postOptions(self) -> None:
        """
        Insist on a configuration.

        Raises:
            usage.UsageError: there is none.
        """
        if not self["config"]:
            raise usage.UsageError("--config FILE is needed")


class SignalledGateway(MultiService):
    """
    A gateway that a process's signals reach.

    SIGHUP reloads the configuration; SIGUSR1 reopens the access log, after
    twistd's own handler has turned its log.
    """

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        gateway.setServiceParent(self)
        self._gateway = gateway
        self._before: dict[int, Any] = {}

    def startService(self) -> None:
        """
        Serve, and listen to signals once the reactor runs.
        """
        super().startService()
        reactor.callWhenRunning(self._install)

    def stopService(self) -> Any:
        """
        Give the signals back, then stop.
        """
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        return super().stopService()

    def _install(self) -> None:
        for number, act in (
            (signal.SIGHUP, self._gateway.reload),
            (signal.SIGUSR1, self._gateway.reopen_logs),
        ):
            self._before[number] = before = signal.getsignal(number)
            signal.signal(number, _chained(before, act))


def _chained(before: Any, act: Any) -> Any:
    def handle(number: int, frame: Any) -> None:
        if callable(before):
            before(number, frame)
        reactor.callFromThread(act)

    return handle


def makeService(options: Options) -> IService:
    """
    Build the gateway that the configuration describes.

    Raises:
        SystemExit: it cannot be built; what is wrong has been said.
    """
    try:
        gateway = Gateway.from_file(options["config"], reactor)
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    return SignalledGateway(gateway)
