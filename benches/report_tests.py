#!/usr/bin/env python3
"""Tests of report.py. `compare` runs them before it measures."""

import json
import sys
import unittest
import xml.etree.ElementTree as ElementTree

# Nothing is left in the source tree.
sys.dont_write_bytecode = True
import report

LINES = "\n".join(
    "\t".join(words)
    for words in [
        ["run", "turns", "3"],
        ["machine", "cpu", "A <fast> CPU"],
        ["version", "go", "go1.2"],
        ["number", "against-go", "yield", "fibra", "ns", "20.5", "20", "30"],
        ["ratio", "against-go", "yield", "fibra", "tokio", "ns", "0.25", "0.2", "0.3"],
        ["ratio", "against-go", "yield", "fibra", "threads", "ns", "0.7", "0.6", "0.8"],
        ["ratio", "against-go", "yield", "fibra-migratable", "tokio", "ns", "0.35", "0.3", "0.4"],
        ["goal", "against-go", "yield", "fibra", "tokio", "ns", "most", "0.3", "0.25", "met"],
        ["failure", "against-go", "yield", "may", "2", "134"],
        ["failure", "against-go", "yield", "tokio", "2", "124"],
        ["failed-script", "http"],
    ]
)
SVG = "{http://www.w3.org/2000/svg}"


class Parse(unittest.TestCase):
    def test_words_become_fields(self):
        lines = report.parse(LINES)
        self.assertEqual(lines["number"][0]["median"], 20.5)
        self.assertEqual(lines["goal"][0]["outcome"], "met")
        self.assertEqual(lines["failure"][0]["exit_code"], 134)

    def test_what_is_not_understood_is_refused(self):
        for line in ("", "nonsense\tx", "number\ta\tyield", "failed-script\thttp\tx", "failure\ta\tb\tc\tx\t1"):
            with self.assertRaises(ValueError, msg=line):
                report.parse(LINES + "\n" + line + "\n")


class Figures(unittest.TestCase):
    def test_the_table_has_what_there_is(self):
        table = report.figures(report.parse(LINES))
        self.assertIn("A <fast> CPU. go1.2.", table)
        self.assertIn("medians of 3 turns", table)
        self.assertEqual(table.splitlines()[-1], "| yield among 100 | 20.5 ns |  | fails | fails |  |")

    def test_quantities_have_three_digits(self):
        for value, text in ((3.146, "3.15 ns"), (999.4, "999 ns"), (999.6, "1 µs"), (25_217.2, "25.2 µs"), (2e10, "20 s")):
            self.assertEqual(report.quantity(value, "ns"), text)
        self.assertEqual(report.quantity(4228.6, "bytes"), "4229 bytes")

    def test_they_stand_between_their_marks(self):
        readme = f"a\n{report.BEGIN}\nold\n{report.END}\nz\n"
        new = report.with_figures(readme, "new\n")
        self.assertEqual(new, f"a\n{report.BEGIN}\nnew\n{report.END}\nz\n")
        for mark in (report.BEGIN, report.END):
            with self.assertRaises(ValueError):
                report.with_figures(readme.replace(mark, ""), "new\n")


class Json(unittest.TestCase):
    def test_everything_is_in_it(self):
        whole = json.loads(report.to_json(report.parse(LINES)))
        self.assertEqual(whole["machine"], {"cpu": "A <fast> CPU"})
        self.assertEqual(whole["versions"], {"go": "go1.2"})
        self.assertEqual(whole["failed_scripts"], ["http"])
        (work,) = whole["works"]
        self.assertEqual((work["section"], work["work"]), ("against-go", "yield"))
        self.assertEqual([len(work[kind]) for kind in ("numbers", "ratios", "goals", "failures")], [1, 3, 1, 2])
        self.assertEqual(work["failures"][0], {"contestant": "may", "turn": 2, "exit_code": 134})

    def test_what_is_no_number_is_refused(self):
        with self.assertRaises(ValueError):
            report.to_json(report.parse(LINES.replace("20.5", "nan")))


class Chart(unittest.TestCase):
    def setUp(self):
        self.svg = ElementTree.fromstring(report.chart(report.parse(LINES)))

    def words(self):
        return [text.text for text in self.svg.iter(SVG + "text")]

    def test_a_row_has_its_peers_goals_and_failures(self):
        hints = [hint.text for hint in self.svg.iter(SVG + "title")][1:]
        self.assertEqual(hints, ["goal: at most 0.3 × tokio, met", "tokio: 0.25 (0.2 to 0.3)"])
        self.assertIn("yield among 100", self.words())
        # tokio failed in one turn only.
        self.assertIn("may fails", self.words())

    def test_rows_without_results_are_left_out(self):
        self.assertNotIn("mutex among 100", self.words())

    def test_names_from_outside_are_escaped(self):
        self.assertTrue(any("A <fast> CPU" in (words or "") for words in self.words()))

    def test_nothing_is_outside_the_picture(self):
        for element in self.svg.iter():
            for name, most in (("x", "width"), ("cx", "width"), ("x2", "width"), ("y", "height"), ("y2", "height")):
                value = float(element.get(name, 0))
                self.assertTrue(0 <= value <= float(self.svg.get(most)), ElementTree.tostring(element))


class Scaling(unittest.TestCase):
    def test_it_is_logarithmic(self):
        scale = report.Scale([0.01, 100], 0, 400)
        self.assertEqual([scale.x(value) for value in (0.01, 0.1, 1, 10, 100)], [0, 100, 200, 300, 400])

    def test_marks_are_around_all_values(self):
        self.assertEqual(report.Scale([0.03, 3], 0, 1).marks, [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5])
        self.assertEqual(report.Scale([0.02], 0, 1).marks, [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2])

    def test_long_scales_have_fewer_numbers(self):
        labels = lambda scale: [mark for mark in scale.marks if scale.labelled(mark)]
        self.assertEqual(labels(report.Scale([0.0005], 0, 1)), [0.001, 0.01, 0.1, 1])
        self.assertEqual(labels(report.Scale([0.2, 2], 0, 1)), [0.2, 0.5, 1, 2])

    def test_one_is_inside_even_if_there_is_nothing(self):
        self.assertEqual(report.Scale([], 0, 1).marks, [0.5, 1, 2])


if __name__ == "__main__":
    unittest.main()
