from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from bench.ground import fill
from bench.limits import LIMITS, Limit
from bench.measure import CASES, turns
from bench.peers import PEERS
from bench.processes import BenchError
from bench.report import BEGIN, END, costs, limits, replace_block, table
from bench.results import Results, Sample


def results(**taken: list[float | None]) -> Results:
    made = Results()
    for name, rounds in taken.items():
        made.samples["small", name] = [
            Sample(number, cost) for number, cost in enumerate(rounds) if cost
        ]
    return made


class ResultsTests(SynchronousTestCase):
    def test_ratio_by_rounds(self) -> None:
        """
        A ratio is that of neighbours in time, so a slow hour changes nothing.
        """
        drifting = results(appgw=[40.0, 80.0, 160.0], nginx=[20.0, 40.0, 80.0])
        self.assertEqual(drifting.ratio("small", "appgw", "nginx"), 2.0)

    def test_outlier(self) -> None:
        """
        One spoilt round does not move the result.
        """
        spoilt = results(appgw=[40.0, 4000.0, 40.0], nginx=[20.0, 20.0, 20.0])
        self.assertEqual(spoilt.ratio("small", "appgw", "nginx"), 2.0)
        self.assertEqual(spoilt.cost("small", "appgw"), 40.0)

    def test_missing_round(self) -> None:
        """
        A round that one of the two lacks is left out.
        """
        gap = results(appgw=[10.0, 40.0], nginx=[None, 20.0])
        self.assertEqual(gap.ratio("small", "appgw", "nginx"), 2.0)

    def test_not_measured(self) -> None:
        """
        There is no ratio to a gateway that was not measured.
        """
        self.assertIsNone(results(appgw=[1.0]).ratio("small", "appgw", "nginx"))
        self.assertIsNone(results().cost("small", "appgw"))


class TurnsTests(SynchronousTestCase):
    def test_interleaved(self) -> None:
        """
        Each round has every gateway once, and another one first.
        """
        order = list(turns(["a", "b", "c"], 3))
        self.assertEqual("".join(name for _, name in order), "abcbcacab")
        self.assertEqual(Counter(order), Counter(set(order)))

    def test_nobody(self) -> None:
        """
        Without gateways there are no turns.
        """
        self.assertEqual(list(turns([], 3)), [])


class LimitTests(SynchronousTestCase):
    def test_holds(self) -> None:
        """
        A limit holds up to its own value, and not past it.
        """
        limit = Limit("small", "nginx", 2.2)
        self.assertTrue(limit.holds(results(appgw=[44.0], nginx=[20.0])))
        self.assertFalse(limit.holds(results(appgw=[44.2], nginx=[20.0])))

    def test_known_names(self) -> None:
        """
        Each limit is about a case and a gateway that exist.
        """
        for limit in LIMITS:
            self.assertIn(limit.case, CASES)
            self.assertIn(limit.other, PEERS)


class ReportTests(SynchronousTestCase):
    def test_table(self) -> None:
        """
        Columns are as wide as their widest cell, numbers stand at the right.
        """
        self.assertEqual(
            table([["a", "b"], ["long", "1"], ["x", "200"]]).splitlines(),
            ["| a    |   b |", "| ---- | --: |", "| long |   1 |", "| x    | 200 |"],
        )

    def test_costs(self) -> None:
        """
        A cost is shown with its range, and a missing one as a dash.
        """
        text = costs(results(nginx=[18.0, 20.0, 19.0]), {"nginx": "N"}, ["small"])
        self.assertIn("19.0 µs (18.0-20.0)", text)
        self.assertIn("-", costs(results(), {"nginx": "N"}, ["small"]).split()[-2])

    def test_limits(self) -> None:
        """
        A limit that does not hold cannot be overlooked.
        """
        text = limits(results(appgw=[50.0], nginx=[20.0]))
        self.assertIn("2.50", text)
        self.assertIn("NO", text)
        self.assertEqual(limits(results(nginx=[20.0])), "")

    def test_replace_block(self) -> None:
        """
        Only what stands between the marks is replaced.
        """
        page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
        written = replace_block(page, "new")
        self.assertEqual(written, f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n")
        self.assertEqual(replace_block(written, "new"), written)

    def test_no_marks(self) -> None:
        """
        A page without the marks is not written over.
        """
        self.assertRaises(ValueError, replace_block, f"text {BEGIN}", "new")


class FillTests(SynchronousTestCase):
    def test_values(self) -> None:
        """
        Names in capitals between at signs are replaced, and nothing else is.
        """
        text = fill('"@type": @PORT@, $host', {"PORT": 8443})
        self.assertEqual(text, '"@type": 8443, $host')

    def test_unknown(self) -> None:
        """
        A name without a value is an error, not a hole in a configuration.
        """
        self.assertRaises(BenchError, fill, "@PORT@", {})
