"""Promises of tools/gpu_suite, on a machine whose GPU, build and tools are scripts: without a GPU it
says so; a step that fails or hangs does not keep the next from running, and the exit code tells."""

import json
import os
import pathlib
import re
import stat
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

CUCINA = """
case $1 in
  ops) echo '[{"op": "relu"}, {"op": "conv2d"}]' ;;
  train)
    steps=20 sha=abc
    [[ "$*" == *"--device cuda"* ]] && sha=${GPU_SHA:-abc}
    echo "{\\"steps\\": $steps, \\"seconds\\": 2.0, \\"params_sha256\\": \\"$sha\\"}" ;;
  bench)
    trap 'echo "{\\"complete\\": false, \\"rows\\": [1]}" >"$out"; exit 130' INT
    out=${@: -1}
    [[ -z ${SLOW:-} ]] || { sleep 60 & wait; }
    echo '{"complete": true, "rows": [1, 2]}' >"$out" ;;
esac
"""

TESTS = """
if [[ $* == *list_tests* ]]; then
  printf 'relu.\\n  one/cuda_hand_f32\\n  prime/cuda_hand_f32\\n  prime/cuda_vendor_f32\\n'
  exit
fi
room=${1#*=} room=${room%%.*}
echo "[       OK ] $room.one/cuda_hand_f32 (1 ms)"
if [[ ${FAILING:-} == "$room" ]]; then
  echo "[  FAILED  ] $room.prime/cuda_hand_f32 (1 ms)"
  exit 1
fi
"""

STEPS = """
read -r seconds
echo '{"who": "cucina", "parameters": 3, "peak_bytes": 7, "no_graph": "'"${REFUSAL:-}"'"}'
echo '{"samples": [0.1, 0.1, 0.3]}'
"""

SANITIZER = """
echo "$*" >>"$LOG"
[[ $* != *"${FINDING:-none}"* ]] || exit 86
"""


class GpuSuite(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="cucina suite ")
        self.here = pathlib.Path(self.folder.name)
        self.script("build/cucina", CUCINA)
        self.script("build/tests/rooms/rooms_gpu_tests", TESTS)
        self.script("build/tests/skeleton_tests", 'echo "[       OK ] Graphs.Some (1 ms)"')
        self.script("build/tests/core_tests", 'echo "[       OK ] Tensor.Some (1 ms)"')
        self.script("build/bench/train_step_bench", STEPS)
        self.script("bin/nvidia-smi", 'echo "Some GPU, 580.1"')
        self.script("bin/compute-sanitizer", SANITIZER)

    def tearDown(self):
        self.folder.cleanup()

    def script(self, name, text):
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/usr/bin/env bash\n" + text + "\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def suite(self, *arguments, **variables):
        environment = {**os.environ, "PATH": f"{self.here / 'bin'}:{os.environ['PATH']}",
                       "LOG": str(self.here / "log"), **variables}
        done = subprocess.run([sys.executable, "-B", ROOT / "tools" / "gpu_suite", self.here / "out",
                               "--build", self.here / "build", *arguments], env=environment,
                              capture_output=True, text=True)
        path = self.here / "out" / "suite.json"
        steps = json.loads(path.read_text())["steps"] if path.exists() else []
        return done, {step["step"]: step for step in steps}

    def only(self, *names):
        return [word for name in names for word in ("--only", name)]

    def test_without_a_gpu_it_says_so_and_exits_4(self):
        self.script("bin/nvidia-smi", "exit 9")
        done, steps = self.suite()
        self.assertEqual((done.returncode, done.stdout, steps), (4, "", {}))
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertFalse((self.here / "out").exists())

    def test_all_steps_run_and_leave_results(self):
        names = ("build", "tests", "same_bits", "lenet", "graph", "memcheck", "racecheck", "initcheck",
                 "resources", "bench", "steps")
        done, steps = self.suite(*self.only(*names))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(tuple(steps), names)
        for name in names:
            expected = "skipped" if name == "resources" else "passed"
            self.assertEqual(steps[name]["result"], expected, steps[name])
            self.assertTrue((self.here / "out" / f"{name}.log").exists())
        self.assertEqual(steps["tests"]["passed"], 2)
        table = (self.here / "out" / "suite.md").read_text()
        for name in names:
            self.assertIn(f"| {name} |", table)
        self.assertIn("Some GPU, 580.1", table)
        rows = json.loads((self.here / "out/steps.json").read_text())["rows"]
        self.assertEqual((rows[0]["median_seconds"], rows[0]["who"], rows[0]["peak_bytes"]),
                         (0.1, "cucina hand", 7))
        self.assertEqual(rows[-1]["who"], "cucina hand, without graph")

    def test_steps_that_are_no_graphs_fail(self):
        done, steps = self.suite(*self.only("steps"), REFUSAL="it waits")
        self.assertEqual((done.returncode, steps["steps"]["result"]), (1, "failed"))
        self.assertIn("lenet5:1 f32 hand: it waits", steps["steps"]["text"])

    def test_the_sanitizer_runs_the_telling_cases_of_the_hand_kernels(self):
        self.suite(*self.only("racecheck"))
        log = (self.here / "log").read_text()
        self.assertIn("--tool racecheck", log)
        self.assertIn("--gtest_filter=relu.prime/cuda_hand_f32:relu.one/cuda_hand_f32\n", log)

    def test_a_failed_step_does_not_stop_the_next(self):
        done, steps = self.suite(*self.only("tests", "memcheck", "lenet"), FAILING="conv2d",
                                 FINDING="memcheck")
        self.assertEqual(done.returncode, 1)
        self.assertEqual([steps[n]["result"] for n in ("tests", "memcheck", "lenet")],
                         ["failed", "failed", "passed"])
        self.assertIn("conv2d.prime/cuda_hand_f32", steps["tests"]["text"])
        self.assertIn("exited 86", steps["memcheck"]["text"])
        self.assertIn("failed: tests, memcheck", done.stderr)

    def test_other_weights_on_the_gpu_fail(self):
        done, steps = self.suite(*self.only("lenet"), GPU_SHA="def")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cpu abc, cuda def", steps["lenet"]["text"])

    def test_a_slow_bench_is_stopped_and_keeps_what_it_has(self):
        done, steps = self.suite(*self.only("bench", "lenet"), "--budget", "16", SLOW="1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("only 1 rows were measured in time", steps["bench"]["text"])
        self.assertEqual(steps["lenet"]["result"], "passed")

    def test_a_missing_program_is_a_failed_step(self):
        (self.here / "build/tests/rooms/rooms_gpu_tests").unlink()
        done, steps = self.suite(*self.only("tests", "lenet"))
        self.assertEqual((done.returncode, steps["tests"]["result"], steps["lenet"]["result"]),
                         (1, "failed", "passed"))

    def test_output_that_is_no_json_fails_its_step_alone(self):
        self.script("build/cucina", '[[ $1 != train ]] || { echo "no JSON"; exit; }' + CUCINA)
        done, steps = self.suite(*self.only("lenet", "tests"))
        self.assertEqual((done.returncode, steps["lenet"]["result"], steps["tests"]["result"]),
                         (1, "failed", "passed"))

    def test_tests_that_all_skip_have_not_passed(self):
        self.script("build/tests/rooms/rooms_gpu_tests", 'echo "[  SKIPPED ] relu.one (0 ms)"')
        self.assertEqual(self.suite(*self.only("tests"))[1]["tests"]["result"], "failed")

    def test_the_spots_are_a_data_set_of_20_steps(self):
        self.suite(*self.only("lenet"))
        images = (self.here / "out/spots/train-images-idx3-ubyte").read_bytes()
        magic, n, h, w = struct.unpack(">IIII", images[:16])
        self.assertEqual((magic, h, w, len(images)), (0x803, 28, 28, 16 + n * 784))
        self.assertEqual(-(-(n - n // 12) // 16), 20)

    def test_limits_fit_in_nine_minutes(self):
        text = (ROOT / "tools" / "gpu_suite").read_text()
        table = re.search(r"^STEPS = \{.*?^\}", text, re.M | re.S)[0]
        limits = [int(limit) for limit in re.findall(r", (\d+)\)", table)]
        self.assertEqual(len(limits), 12)
        self.assertLessEqual(sum(limits), 530)


if __name__ == "__main__":
    unittest.main()
