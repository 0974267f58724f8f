"""
twistd's way in: ``twistd appgw --config gateway.yaml``.

The one place that imports the global reactor, installs signal handlers, and
decides about the process: its sockets, its garbage collector, its last words.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import IService, MultiService
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.python import usage

from appgw.config.read import ConfigError
from appgw.service import Gateway

YOUNG: Final = 20_000
"""Objects made, and not freed, between two looks for garbage."""

Act = Callable[[], object]


class Options(usage.Options):
    """
    What ``twistd appgw`` takes.
    """

    synopsis = "--config FILE"
    longdesc = (
        "Serves the application gateway that a configuration file describes."
        " SIGHUP reloads the file, SIGUSR1 goes on in new logs, SIGTERM lets"
        " requests end and stops, a second one stops at once."
    )
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
    twistd has turned its own. While the gateway stops, SIGTERM and SIGINT end
    the wait for requests.
    """

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        gateway.setServiceParent(self)
        self._gateway = gateway
        self._before: dict[int, Any] = {}

    def startService(self) -> None:
        """
        Serve, and listen to signals.
        """
        self._listen(signal.SIGHUP, self._reload)
        self._listen(signal.SIGUSR1, self._gateway.reopen_logs)
        super().startService()
        self._gateway.serving().addCallback(lambda _: settle())

    def stopService(self) -> Deferred[Any]:
        """
        Stop, sooner when told so twice, and give the signals back.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self._listen(number, self._gateway.hurry, alone=True)
        stopped: Deferred[Any] = super().stopService()
        return stopped.addBoth(self._give_back)

    def _reload(self) -> None:
        self._gateway.reload().addCallback(lambda _: settle())

    def _listen(self, number: int, act: Act, *, alone: bool = False) -> None:
        before = signal.getsignal(number)
        self._before.setdefault(number, before)

        def received(number: int, frame: Any) -> None:
            if callable(before) and not alone:
                before(number, frame)
            # The reactor may be anywhere, also asleep: it is woken up.
            reactor.callFromThread(act)  # type: ignore[attr-defined]

        signal.signal(number, received)

    def _give_back(self, outcome: Any) -> Any:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()
        return outcome


def settle() -> None:
    """
    Spare the collector what stays: all that is there now, garbage taken out.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)


def makeService(options: Options) -> IService:
    """
    Build the gateway that the configuration describes, and bind its ports.

    Here, not later: twistd has not gone into the background yet, nor given up
    any privilege, and what is wrong can be told to whoever waits for it.

    Raises:
        SystemExit: it cannot be built; what is wrong is said in plain lines.
    """
    try:
        gateway = Gateway.from_file(options["config"], reactor)
        gateway.bind()
        user = None if options.parent is None else options.parent.get("uid")
        if user is not None:
            gateway.watch.admin.give(user)
    except (ConfigError, OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    return SignalledGateway(gateway)
