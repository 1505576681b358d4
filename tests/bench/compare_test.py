"""Promises of bench/compare.py: its p is the Mann-Whitney test's, and only a real change counts."""

import itertools
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import compare  # noqa: E402


def row(samples, **changes):
    return {"device": "cpu", "op": "relu", "case": "large", "entry": "forward", "dtype": "f32",
            "backend": "hand", "samples_seconds": samples, **changes}


class Compare(unittest.TestCase):
    def run_on(self, old, new, *options):
        with tempfile.TemporaryDirectory(prefix="cucina compare ") as folder:
            paths = []
            for name, content in (("old.json", old), ("new.json", new)):
                path = pathlib.Path(folder) / name
                paths.append(path)
                if content is not None:
                    text = content if isinstance(content, str) else json.dumps({"rows": content})
                    path.write_text(text)
            done = subprocess.run([sys.executable, "-B", ROOT / "bench" / "compare.py", *paths,
                                   *options], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def test_p_is_the_share_of_all_orders_at_least_as_extreme(self):
        for n, m in ((1, 1), (2, 3), (4, 4), (5, 3)):
            middle = n * m / 2
            all_u = []
            for chosen in itertools.combinations(range(n + m), n):
                all_u.append(sum(chosen) + n - n * (n + 1) / 2)
            for u in set(all_u):
                extreme = sum(abs(each - middle) >= abs(u - middle) for each in all_u)
                self.assertAlmostEqual(compare.exact_p(n, m, u), min(1, extreme / len(all_u)), 12)

    def test_p_is_what_others_compute(self):
        # The example of scipy.stats.mannwhitneyu's documentation; then, by hand, U = 4.5 with ties
        # of 3 and 2: z = 7.5 / sqrt(200 / 9).
        self.assertAlmostEqual(
            compare.mann_whitney_p([19, 22, 16, 29, 24], [20, 11, 17, 12]), 0.1111111111, 9)
        self.assertAlmostEqual(compare.mann_whitney_p([1, 2, 2, 3, 5], [2, 4, 5, 6, 7]),
                               0.1116118, 6)

    def test_exact_and_normal_agree_on_large_samples(self):
        draw = random.Random(1)
        for shift in (0.0, 0.3, 0.6):
            a = [draw.random() for _ in range(20)]
            b = [draw.random() + shift for _ in range(20)]
            rank, groups = compare.ranks([*a, *b])
            u = sum(rank[:20]) - 210
            self.assertAlmostEqual(compare.exact_p(20, 20, u), compare.normal_p(20, 20, u, groups),
                                   delta=0.02)

    def test_equal_samples_are_the_same(self):
        self.assertEqual(compare.mann_whitney_p([2, 2, 2], [2, 2, 2]), 1.0)
        self.assertEqual(self.run_on([row([1, 2, 3])], [row([1, 2, 3])])[0], 0)

    def test_slower_exits_1_and_faster_exits_0(self):
        fast, slow = [1 + i / 100 for i in range(20)], [1.5 + i / 100 for i in range(20)]
        code, out, _ = self.run_on([row(fast)], [row(slow)])
        self.assertEqual(code, 1)
        self.assertRegex(out, r"slower +1\.\d+x .*cpu relu large forward f32 hand")
        code, out, _ = self.run_on([row(slow)], [row(fast)])
        self.assertEqual(code, 0)
        self.assertIn("0 slower, 1 faster, 0 the same", out)

    def test_a_significant_but_tiny_change_is_the_same(self):
        old, new = [100 + i / 100 for i in range(40)], [101 + i / 100 for i in range(40)]
        code, out, _ = self.run_on([row(old)], [row(new)])
        self.assertEqual((code, "1 the same" in out), (0, True))
        self.assertEqual(self.run_on([row(old)], [row(new)], "--threshold", "0.005")[0], 1)

    def test_a_large_change_of_few_noisy_samples_is_the_same(self):
        self.assertEqual(self.run_on([row([1, 3, 2])], [row([4, 1.5, 6])])[0], 0)

    def test_rows_are_matched_by_all_of_their_key(self):
        old = [row([1, 1.1, 1.2]), row([5, 5.1], backend="vendor")]
        new = [row([1, 1.1, 1.2]), row([9, 9.1], dtype="bf16")]
        code, out, _ = self.run_on(old, new, "--json")
        report = json.loads(out)
        self.assertEqual((code, len(report["rows"])), (0, 1))
        self.assertEqual((report["only_in_old"], report["only_in_new"]), (1, 1))

    def test_what_is_no_result_is_a_sentence_and_exits_2(self):
        good = [row([1.0])]
        for bad, part in (
                (None, "cannot be read"), ("", "no JSON"), ("{", "no JSON"), ("[]", "no list"),
                ("{}", "no list"), ('{"rows": 3}', "no list"), ('{"rows": [3]}', "row 0"),
                ([row([])], "samples_seconds"), ([row("1")], "samples_seconds"),
                ([row([1, -1])], "-1"), ([row([True])], "True"), ([row(["x"])], "'x'"),
                ('{"rows": [' + json.dumps(row([1])).replace("[1]", "[1e999]") + "]}", "inf"),
                ([row([1], op=None)], "`op`"), (good + good, "twice"), ([], "no row in common"),
                ([row([1], op="add")], "no row in common")):
            for files in ((bad, good), (good, bad)):
                code, out, err = self.run_on(*files)
                self.assertEqual((code, out), (2, ""), err)
                self.assertIn(part, err)
                self.assertEqual(err.count("\n"), 1, err)


if __name__ == "__main__":
    unittest.main()
