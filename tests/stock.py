"""
A gateway with stock resources, and one that remembers what it was asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from tests.journey.kit import OK, JourneyTests, answering, turn


class Spy(Resource):
    """
    Keeps what it is asked, and answers with what it is told to.
    """

    isLeaf = True

    def __init__(self, answer: Any = b"spied") -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[Request] = []
        self.bodies: list[bytes] = []

    def render(self, request: Request) -> Any:
        """
        Keep it.
        """
        self.asked.append(request)
        self.bodies.append(request.content.read())
        return self.answer(request) if callable(self.answer) else self.answer

    async def visited(self) -> Request:
        """
        Wait for a request.
        """
        while not self.asked:
            await turn()
        return self.asked[-1]


class MountedTestCase(JourneyTests):
    def mount(self, *resources: tuple[str, IResource]) -> None:
        """
        Serve a gateway with these resources at its plain listener.
        """
        self.web = self.backend(answering(OK))
        self.before(self.web)
        for paths, resource in resources:
            self.gateway.mount("plain", paths, resource)

    def folder(self, name: str, content: bytes) -> Path:
        """
        Make a folder with one file in it.
        """
        folder = Path(self.mktemp())
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(content)
        return folder

    def spy(self, answer: Any = b"spied") -> Spy:
        """
        Mount a spy at ``/at``.
        """
        spy = Spy(answer)
        self.mount(("/at", spy))
        return spy
