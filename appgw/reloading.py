"""
A configuration that is a file, and can be read again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from appgw.config.model import Config
from appgw.config.read import ConfigError, read
from appgw.mounts import Mountable


class Reloadable(Mountable):
    """
    A service that may have its configuration from a file.

    Attributes:
        path: of the file that ``reload`` reads; None: there is none.
    """

    log = Logger()

    def __init__(self, config: Config, reactor: Any) -> None:
        super().__init__(reactor)
        self.path: str | None = None

    @classmethod
    def from_file(cls, path: str, reactor: Any) -> Self:
        """
        Read *path*; ``reload`` will read it again.

        Raises:
            ConfigError: with everything that is wrong with it.
        """
        made = cls(read(path), reactor)
        made.path = str(Path(path).absolute())
        return made

    def reload(self) -> Deferred[bool]:
        """
        Read the file again; a bad one changes nothing, and the log says why.

        Returns:
            Fires with whether the new configuration is in force; never fails.
        """
        return Deferred.fromCoroutine(self._reload())

    async def _reload(self) -> bool:
        if self.path is None:
            self.log.error("There is no file to reload the configuration from.")
            return False
        try:
            await self.apply(read(self.path))
        except (ConfigError, OSError, RuntimeError, ValueError) as error:
            self.log.error("Not reloaded, the old one stays:\n{why}", why=error)
            return False
        except Exception:
            self.log.failure("The configuration was not reloaded; this is a bug.")
            return False
        self.log.info("The configuration was reloaded.")
        return True
