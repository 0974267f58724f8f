from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from bench.load import TRAFFIC, Load, judge_h2load, judge_wrk, wrk_command
from bench.processes import BenchError

H2LOAD = """\
starting benchmark...
finished in 2.50s, 800.00 req/s, 120.00KB/s
requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed
status codes: {statuses}
"""


def told(**changed: float) -> str:
    figures = {"requests": 10, "bytes": 5000, "seconds": 3.0}
    errors = dict.fromkeys(("status", "connect", "read", "write", "timeout"), 0)
    return "Running 3s test\n" + json.dumps({**figures, **errors, **changed}) + "\n"


class WrkTests(SynchronousTestCase):
    def test_good(self) -> None:
        """
        Answers without an error, and with enough bytes, make a result.
        """
        load = judge_wrk("x", TRAFFIC["small"], told())
        self.assertEqual(load, Load(10, 3.0))

    def test_errors(self) -> None:
        """
        One error of any kind leaves no result, so that none counts as speed.
        """
        for kind in ("status", "connect", "read", "write", "timeout"):
            with self.assertRaises(BenchError) as caught:
                judge_wrk("x", TRAFFIC["small"], told(**{kind: 1}))
            self.assertIn(kind, str(caught.exception))

    def test_nothing(self) -> None:
        """
        A gateway that answered nothing has no cost per request.
        """
        self.assertRaises(
            BenchError, judge_wrk, "x", TRAFFIC["small"], told(requests=0)
        )

    def test_short(self) -> None:
        """
        Answers that were cut short leave no result.
        """
        self.assertRaises(BenchError, judge_wrk, "x", TRAFFIC["down"], told())

    def test_upload(self) -> None:
        """
        The upload is a POST of a MiB, and the only one.
        """
        self.assertEqual(wrk_command(TRAFFIC["up"], 1, 3)[-2:], ["POST", "1048576"])
        self.assertEqual(wrk_command(TRAFFIC["down"], 1, 3)[-2:], ["GET", "0"])


class H2loadTests(SynchronousTestCase):
    def test_good(self) -> None:
        """
        As many good answers as were asked for make a result.
        """
        output = H2LOAD.format(statuses="2000 2xx, 0 3xx, 0 4xx, 0 5xx")
        self.assertEqual(judge_h2load("x", 2000, output), Load(2000, 2.5))

    def test_milliseconds(self) -> None:
        """
        A short run's time is told in another unit.
        """
        output = H2LOAD.format(statuses="2000 2xx, 0 3xx, 0 4xx, 0 5xx")
        load = judge_h2load("x", 2000, output.replace("2.50s", "250.00ms"))
        self.assertAlmostEqual(load.seconds, 0.25)

    def test_errors(self) -> None:
        """
        Another status, or a connection without an answer, leaves no result.
        """
        for statuses in (
            "1999 2xx, 0 3xx, 0 4xx, 1 5xx",
            "1999 2xx, 0 3xx, 0 4xx, 0 5xx",
            "2000 2xx, 1 3xx, 0 4xx, 0 5xx",
        ):
            output = H2LOAD.format(statuses=statuses)
            self.assertRaises(BenchError, judge_h2load, "x", 2000, output)
