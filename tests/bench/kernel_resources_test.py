"""Promises of tools/kernel_resources: it finds the spills that ptxas told, and takes no other text."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def kernel(symbol="_ZN6cucina14product_kernelINS_7FmaTileIfEEEEvv", spills=(0, 0), registers=40, arch="sm_90"):
    return f"""ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '{symbol}' for '{arch}'
ptxas info    : Function properties for {symbol}
    0 bytes stack frame, {spills[0]} bytes spill stores, {spills[1]} bytes spill loads
ptxas info    : Used {registers} registers, used 1 barriers, 8704 bytes smem, 400 bytes cmem[0]
ptxas info    : Compile time = 12.3 ms
"""


class KernelResources(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="cucina resources ")
        self.build = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def write(self, text, source="kernels/matmul/matmul.cu"):
        report = self.build / "cmake/cuda_kernels/CMakeFiles/x.dir/__/__" / (source + ".o.resources")
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_bytes(text.encode("latin-1"))

    def tool(self, *arguments):
        done = subprocess.run([sys.executable, "-B", ROOT / "tools" / "kernel_resources", self.build,
                               *arguments], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def test_the_table_has_registers_shared_memory_and_spills(self):
        self.write(kernel() + kernel(arch="sm_80", spills=(8, 16), registers=255))
        code, out, _ = self.tool("--json")
        self.assertEqual(code, 0)
        first, second = json.loads(out)
        self.assertEqual((first["registers"], first["shared"], first["spill_stores"]), (40, 8704, 0))
        self.assertEqual((second["arch"], second["spill_stores"], second["spill_loads"]),
                         ("sm_80", 8, 16))
        self.assertEqual(first["file"], "kernels/matmul/matmul.cu")
        if shutil.which("c++filt"):
            self.assertEqual(first["name"], "product_kernel<FmaTile<float> >")
        self.assertRegex(self.tool()[1], r"sm_80 +255 +8704 +0 +24 ")

    def test_a_spill_in_matmul_or_conv2d_fails_the_check(self):
        self.write(kernel())
        self.assertEqual(self.tool("--check")[0], 0)
        self.write(kernel(spills=(4, 0)), "kernels/conv2d/conv2d_direct.cu")
        code, _, err = self.tool("--check")
        self.assertEqual(code, 1)
        self.assertIn("conv2d_direct.cu: ", err)

    def test_a_spill_elsewhere_or_in_f64_does_not(self):
        self.write(kernel() + kernel("_ZN6cucina13direct_kernelIfEEvv", spills=(4, 4)))
        self.assertEqual(self.tool("--check")[0], 0)
        if not shutil.which("c++filt"):
            return  # nothing can be told from a mangled name
        self.write(kernel() + kernel("_ZN6cucina14product_kernelINS_7FmaTileIdEEEEvv", spills=(4, 4)))
        self.write(kernel(spills=(4, 4)), "kernels/pool2d/pool2d.cu")
        self.assertEqual(self.tool("--check")[0], 0)

    def test_a_called_functions_spills_are_the_kernels(self):
        called = ("ptxas info    : Function properties for helper\n"
                  "    16 bytes stack frame, 12 bytes spill stores, 0 bytes spill loads\n")
        text = kernel()
        at = text.index("ptxas info    : Used")
        self.write(text[:at] + called + text[at:])
        self.assertEqual(self.tool("--check")[0], 1)

    def test_without_a_report_or_with_a_malformed_one_it_says_so(self):
        whole = kernel()
        lines = whole.splitlines(keepends=True)
        self.assertEqual(self.tool()[0], 2)
        for text in ("", "\xff\xfe\x00", "".join(lines[2:]), "".join(lines[3:]), "".join(lines[:3]),
                     "".join(lines[:4]), lines[4] * 2, whole + lines[4], lines[0] + lines[1]):
            self.write(text)
            code, _, err = self.tool("--check")
            self.assertEqual((code, err.count("\n")), (2, 1), repr(text) + err)

    def test_a_check_that_finds_nothing_to_check_fails(self):
        self.write(kernel(), "kernels/pool2d/pool2d.cu")
        self.assertEqual(self.tool("--check")[0], 2)


class KeepResources(unittest.TestCase):
    """The launcher that writes the reports."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="cucina launcher ")
        self.here = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def launch(self, *command):
        return subprocess.run([ROOT / "cmake" / "keep_resources", *command], cwd=self.here,
                              capture_output=True, text=True)

    def fake(self, code):
        compiler = self.here / "compiler"
        (self.here / "said").write_text("file.cu: warning: unused\n" + kernel())
        compiler.write_text(f"#!/bin/sh\ncat said >&2\nexit {code}\n")
        compiler.chmod(0o755)
        return self.launch(compiler, "-c", "a.cu", "-o", "a.cu.o")

    def test_the_report_is_kept_and_the_rest_still_shown(self):
        done = self.fake(0)
        self.assertEqual((done.returncode, done.stderr), (0, "file.cu: warning: unused\n"))
        self.assertEqual((self.here / "a.cu.o.resources").read_text(), kernel())

    def test_a_failed_compilation_fails_and_leaves_no_report(self):
        self.assertEqual(self.fake(3).returncode, 3)
        self.assertFalse((self.here / "a.cu.o.resources").exists())

    def test_other_commands_just_run(self):
        self.assertEqual(self.launch("sh", "-c", "echo out; exit 5").returncode, 5)

    def test_nvccs_own_report_is_understood(self):
        nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
        if not os.access(nvcc, os.X_OK):
            self.skipTest("no nvcc on this machine")
        # 64 values that are all needed to the end, and registers for half of them.
        (self.here / "a.cu").write_text("""
__global__ void plain(float* x) { x[threadIdx.x] *= 2; }
__global__ void spilling(float* x) {
  float v[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) v[i] = x[i * 32 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 64; ++i) x[(63 - i) * 32 + threadIdx.x] = v[i] * v[(i * 7) % 64];
}
""")
        done = self.launch(nvcc, "-arch=sm_90", "-maxrregcount=32", "-Xptxas", "-v", "-c", "a.cu",
                           "-o", "a.cu.o")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        listed = subprocess.run([sys.executable, "-B", ROOT / "tools" / "kernel_resources",
                                 self.here, "--json"], capture_output=True, text=True)
        stores = {k["name"]: k["spill_stores"] for k in json.loads(listed.stdout)}
        self.assertEqual(stores["plain"], 0)
        self.assertGreater(stores["spilling"], 0)


if __name__ == "__main__":
    unittest.main()
