"""Promises of tools/write_numbers: a section for each result, others left alone, and no other file
taken for a result. Likewise the peers' reading of one."""

import copy
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

ROW = {"op": "relu", "case": "large", "entry": "forward", "dtype": "f32", "backend": "hand",
       "device": "cpu", "shapes": {"x": [4]}, "median_seconds": 2e-3, "low_quartile_seconds": 1.9e-3,
       "high_quartile_seconds": 2.1e-3, "flops": 1e6, "bytes": 8e6, "floor": "memory",
       "floor_seconds": 1e-3, "share_of_floor": 0.5, "cold": True, "samples_seconds": [2e-3]}
BENCH = {"device": "cpu", "date": "2026-11-27T10:00:00Z", "command": "cucina bench", "complete": True,
         "machine": {"cpu": "Some CPU", "threads": 2, "load_average": 0.1, "compiler": "GNU 12",
                     "onednn": "2.6.3", "cudnn": None, "cublas_lt": None, "gpu": None},
         "peaks": {"copy_bytes_per_second": 1e10, "f32_flops": 1e11, "tf32_flops": 1e11,
                   "bf16_flops": 1e11, "how": "measured", "cache_bytes": 1000},
         "rows": [ROW, {**ROW, "backend": "vendor", "median_seconds": 3e-3}]}
PEERS = {"device": "cpu", "torch": "2.9", "threads": 2, "rows": [
    {"op": "train_step", "model": "lenet5", "batch": 64, "dtype": "f32", "who": "pytorch eager",
     "median_seconds": 4e-3},
    {"op": "relu", "case": "large", "entry": "forward", "dtype": "f32", "who": "pytorch eager",
     "median_seconds": 5e-3}]}
SUITE = {"date": "2026-11-27", "gpu": "Some GPU", "command": "tools/gpu_suite out", "steps": [
    {"step": "tests", "result": "failed", "seconds": 3.0, "text": "1 failed"}]}
AGREEMENT = {"torch": "2.9", "tolerance": 1e-5, "rows": [
    {"op": "conv2d", "cases": 3, "hand": 1.5e-7, "vendor": None}]}
MUTANTS = {"mutants": 2, "killed": 1, "rows": [
    {"file": "a.cu", "line": 3, "room": "relu", "why": "lost term", "killed_by": "", "survives": "",
     "equivalent": ""},
    {"file": "a.cu", "line": 4, "room": "relu", "why": "off by one", "killed_by": "relu.one",
     "survives": "", "equivalent": ""}]}


class WriteNumbers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="cucina numbers ")
        self.here = pathlib.Path(self.folder.name)
        self.out = self.here / "numbers.md"

    def tearDown(self):
        self.folder.cleanup()

    def file(self, content, name="result.json"):
        path = self.here / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def write(self, *arguments):
        done = subprocess.run([sys.executable, "-B", ROOT / "tools" / "write_numbers", *arguments,
                               "--out", self.out], capture_output=True, text=True)
        return done.returncode, done.stderr

    def test_a_bench_becomes_a_table_with_machine_date_and_command(self):
        self.assertEqual(self.write("--bench", self.file(BENCH))[0], 0)
        text = self.out.read_text()
        for part in ("## Kernels on a CPU", "Some CPU, 2 threads", "2026-11-27", "`cucina bench`",
                     "copy 10 GB/s",
                     "| relu | large | forward | f32 | 2 ms ± 5 % | 4 GB/s | 50 | 3 ms | 1.50 |"):
            self.assertIn(part, text)

    def test_peers_stand_beside_the_kernels(self):
        self.write("--bench", self.file(BENCH), "--peers", self.file(PEERS, "peers.json"))
        text = self.out.read_text()
        self.assertIn("| 3 ms | 1.50 | 2.50 |", text)
        self.assertIn("| lenet5 | 64 | f32 | pytorch eager | 4 ms |", text)

    def test_other_sections_stay_and_a_new_one_replaces_the_old(self):
        self.out.write_text("# Numbers\n\nold\n\n## Kernels on a CPU\n\nold table\n\n## Mine\n\nkept\n")
        self.write("--bench", self.file(BENCH))
        text = self.out.read_text()
        self.assertNotIn("old table", text)
        self.assertIn("## Mine\n\nkept\n", text)
        self.write("--agreement", self.file(AGREEMENT))
        text = self.out.read_text()
        self.assertIn("| relu | large |", text)
        self.assertIn("| conv2d | 3 | 1.5e-07 |  |", text)

    def test_a_suites_folder_fills_the_gpus_sections(self):
        gpu = copy.deepcopy(BENCH)
        gpu["device"] = "cuda"
        gpu["machine"]["gpu"] = {"name": "H100", "multiprocessors": 132, "megahertz": 1980,
                                 "cuda_driver": 13000}
        self.file(SUITE, "suite.json")
        self.file(gpu, "bench.json")
        self.file({**PEERS, "device": "cuda"}, "peers.json")
        step = {**PEERS["rows"][0], "who": "cucina hand", "median_seconds": 1e-3}
        self.file({"rows": [step, {**step, "who": "cucina vendor", "median_seconds": 2e-3}]}, "steps.json")
        self.assertEqual(self.write("--suite", self.here)[0], 0)
        text = self.out.read_text()
        for part in ("| tests | failed | 3 | 1 failed |", "H100, 132 multiprocessors", "CUDA 13.0",
                     "## Kernels on a GPU", "## PyTorch on a GPU", "## Training steps on a GPU",
                     "| cucina hand | cucina vendor | pytorch eager | ratio |",
                     "| lenet5 | 64 | f32 | 1 ms | 2 ms | 4 ms | 4.00 |"):
            self.assertIn(part, text)
        self.assertNotIn("Not measured yet", text)

    def test_mutants_are_counted_and_survivors_named(self):
        self.write("--mutants", self.file(MUTANTS))
        text = self.out.read_text()
        for part in ("1 of 2", "| relu | 2 | 1 |", "a.cu:3: lost term; no reason is known"):
            self.assertIn(part, text)

    def test_what_is_no_result_exits_2_and_leaves_the_file(self):
        self.out.write_text("before")
        for option in ("--bench", "--peers", "--agreement", "--mutants", "--train-steps"):
            for bad in ("", "[", "[]", "{}", "null", '{"rows": 1}', '{"rows": [1]}'):
                code, err = self.write(option, self.file(bad))
                self.assertEqual((code, err.count("\n")), (2, 1), f"{option} {bad!r}: {err}")
        for key in BENCH:
            less = {k: v for k, v in BENCH.items() if k != key}
            self.assertEqual(self.write("--bench", self.file(less))[0], 2, key)
        self.assertEqual(self.write("--bench", self.here / "absent")[0], 2)
        self.assertEqual(self.write("--suite", self.here / "absent")[0], 2)
        self.assertEqual(self.out.read_text(), "before")

    def test_the_peers_take_no_other_file_either(self):
        for bad in ("", "{}", '{"rows": [1]}', '{"rows": [{"op": "x"}]}',
                    json.dumps({**BENCH, "peaks": {}})):
            done = subprocess.run([sys.executable, "-B", ROOT / "bench" / "peers" / "run.py", "--bench",
                                   self.file(bad)], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)


if __name__ == "__main__":
    unittest.main()
