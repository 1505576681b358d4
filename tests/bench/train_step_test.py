"""Promises of bench/train_step: the racers take turns, ratios are of medians, networks that differ
or fail are reported and the other cases still measured."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# Answers as a racer does, and writes its name into a common log at every turn.
RACER = """#!{python}
import json, pathlib, sys
if "-c" in sys.argv:
    sys.exit(0)
here = pathlib.Path(__file__).resolve().parent
model = sys.argv[-4]
if model == "broken":
    print(json.dumps({{"error": "no such network"}}))
    sys.exit()
parameters = {parameters} if model == "differs" else 7
print(json.dumps({{"who": "{who}", "way": "some", "parameters": parameters, "peak_bytes": 2**20}}), flush=True)
for line in sys.stdin:
    with open(here / "log", "a") as log:
        log.write("{who} " + sys.argv[-1] + " " + line)
    print(json.dumps({{"samples": [{seconds}, {seconds}, 100.0]}}), flush=True)
"""


class TrainStep(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="cucina train step ")
        self.here = pathlib.Path(self.folder.name)
        (self.here / "bench").mkdir()
        self.ours = self.racer("bench/train_step_bench", "cucina", 0.002, 7)
        self.peer = self.racer("bench/peer", "peer", 0.003, 8)

    def tearDown(self):
        self.folder.cleanup()

    def racer(self, name, who, seconds, parameters):
        path = self.here / name
        path.write_text(RACER.format(python=sys.executable, who=who, seconds=seconds,
                                     parameters=parameters))
        path.chmod(0o755)
        return path

    def run_cases(self, *cases):
        arguments = [part for case in cases for part in ("--case", case)]
        done = subprocess.run([sys.executable, "-B", ROOT / "bench" / "train_step", *arguments,
                               "--build", self.here, "--python", self.peer, "--rounds", "3",
                               "--seconds", "0.5", "--cpu-time", "--json", self.here / "steps.json"],
                              capture_output=True, text=True)
        return done

    def test_the_racers_take_turns_and_a_ratio_is_of_medians(self):
        done = self.run_cases("lenet5:1:f32")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.here / "bench" / "log").read_text(), "cucina cpu 0.5\npeer cpu 0.5\n" * 3)
        row = json.loads((self.here / "steps.json").read_text())["rows"][0]
        self.assertEqual(row["cucina"]["samples"], 9)
        self.assertAlmostEqual(row["peers"][0]["ratio"], 1.5)
        self.assertIn("| lenet5 | 1 | f32 | 2 ms", done.stdout)
        self.assertIn("| 1.50 | 1.0 |", done.stdout)

    def test_what_fails_or_differs_is_said_and_the_rest_is_measured(self):
        done = self.run_cases("broken:1:f32", "differs:1:f32", "lenet5:1:f32", "lenet5")
        self.assertEqual(done.returncode, 1)
        self.assertIn("broken:1:f32: no such network", done.stderr)
        self.assertIn("differs:1:f32: the networks differ: cucina has 7 parameters, peer has 8",
                      done.stderr)
        rows = json.loads((self.here / "steps.json").read_text())["rows"]
        self.assertEqual([row["model"] for row in rows], ["lenet5"])

    def test_a_missing_program_is_wrong_usage(self):
        self.ours.unlink()
        done = self.run_cases("lenet5:1:f32")
        self.assertEqual(done.returncode, 2)
        self.assertIn("build it first", done.stderr)

    def test_write_numbers_takes_the_result(self):
        self.run_cases("lenet5:1:f32")
        subprocess.run([sys.executable, "-B", ROOT / "tools" / "write_numbers", "--train-steps",
                        self.here / "steps.json", "--out", self.here / "numbers.md"], check=True,
                       capture_output=True)
        text = (self.here / "numbers.md").read_text()
        for part in ("## Training steps on a CPU", "- peer: some: lenet5 1", "| lenet5 | 1 | f32 |"):
            self.assertIn(part, text)


if __name__ == "__main__":
    unittest.main()
