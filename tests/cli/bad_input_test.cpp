// Promises of the program for bad input: the documented exit code, one sentence on stderr, nothing
// on stdout, and no file made or changed.
#include <algorithm>
#include <functional>

#include "core/cuda_runtime.h"
#include "tests/cli/program.h"

namespace cucina::cli {
namespace {

struct BadInput {
  std::string name;
  Arguments arguments;  // in a folder with good data in "data"
  int code;
  std::vector<std::string> parts;
  std::function<void(const Folder&)> spoil = {};
};

// What is given replaces a default of the same name.
Arguments train(const Arguments& more) {
  Arguments all{"train"};
  const Arguments defaults{"--data", "data", "--model", "linear", "--epochs", "1", "--out", "run"};
  for (std::size_t i = 0; i < defaults.size(); i += 2) {
    if (std::find(more.begin(), more.end(), defaults[i]) == more.end())
      all.insert(all.end(), {defaults[i], defaults[i + 1]});
  }
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

void change(const std::filesystem::path& file, const std::function<void(Bytes*)>& how) {
  Bytes bytes = data::read(file);
  how(&bytes);
  data::write(file, bytes);
}

std::vector<BadInput> bad_inputs() {
  return {
      {"no_command", {}, 2, {"no command is given", "train"}},
      {"unknown_command", {"trian"}, 2, {"'trian'", "did you mean 'train'?"}},
      {"unknown_global_flag", {"--verzion"}, 2, {"--verzion", "did you mean '--version'?"}},
      {"unknown_flag", train({"--epoch", "3"}), 2, {"--epoch", "did you mean '--epochs'?"}},
      {"unknown_flag_with_value", train({"--lrr=3"}), 2, {"--lrr", "did you mean '--lr'?"}},
      {"stray_argument", train({"digits"}), 2, {"unknown argument digits"}},
      {"flag_without_value", train({"--lr"}), 2, {"--lr"}},
      {"flag_twice", train({"--lr", "1", "--lr", "2"}), 2, {"--lr is given 2 times"}},
      {"no_data", {"train"}, 2, {"--data"}},
      {"unknown_model", train({"--model", "lenet"}), 2, {"lenet", "did you mean 'lenet5'?"}},
      {"lr_nan", train({"--lr", "nan"}), 2, {"--lr nan", "above 0"}},
      {"lr_inf", train({"--lr", "inf"}), 2, {"--lr inf"}},
      {"lr_negative", train({"--lr", "-1"}), 2, {"--lr -1"}},
      {"lr_zero", train({"--lr", "0"}), 2, {"--lr 0"}},
      {"lr_text", train({"--lr", "fast"}), 2, {"--lr fast"}},
      {"lr_with_rest", train({"--lr", "1e-3x"}), 2, {"--lr 1e-3x"}},
      {"lr_too_large", train({"--lr", "1e999"}), 2, {"--lr 1e999"}},
      {"batch_size_zero", train({"--batch-size", "0"}), 2, {"--batch-size 0", "at least 1"}},
      {"batch_size_fraction", train({"--batch-size", "1.5"}), 2, {"--batch-size 1.5"}},
      {"batch_size_overflow", train({"--batch-size", "99999999999999999999"}), 2, {"--batch-size"}},
      {"epochs_negative", train({"--epochs", "-3"}), 2, {"--epochs -3", "at least 1"}},
      {"seed_negative", train({"--seed", "-1"}), 2, {"--seed -1"}},
      {"device_tpu", train({"--device", "tpu"}), 2, {"--device tpu", "cuda"}},
      {"backend_unknown", train({"--backend", "hands"}), 2, {"--backend hands", "'hand'"}},
      {"optimizer_unknown", train({"--optimizer", "adamw"}), 2, {"--optimizer adamw", "'adam'"}},
      {"momentum_one", train({"--optimizer", "sgd", "--momentum", "1"}), 2, {"--momentum 1"}},
      {"momentum_with_adam", train({"--momentum", "0.9"}), 2, {"--momentum 0.9", "sgd"}},
      {"decay_negative", train({"--weight-decay", "-0.1"}), 2, {"--weight-decay -0.1"}},
      {"dropout_of_linear", train({"--dropout", "0.5"}), 2, {"no dropout"}},
      {"augment_empty", train({"--augment", ""}), 2, {"--augment ''", "choose from crop"}},
      {"augment_unknown", train({"--augment", "crops"}), 2, {"'crops'", "did you mean 'crop'?"}},
      {"augment_twice", train({"--augment", "crop,crop=2"}), 2, {"crop is named twice"}},
      {"augment_text", train({"--augment", "flip=x"}), 2, {"flip=x", "give a number"}},
      {"augment_fraction", train({"--augment", "crop=1.5"}), 2, {"crop=1.5", "whole number"}},
      {"augment_border", train({"--augment", "border"}), 2, {"border=reflect"}},
      {"augment_too_far", train({"--augment", "crop=8"}), 2, {"crop is 8", "8x8"}},
      {"augment_nan", train({"--augment", "flip=nan"}), 2, {"flip is nan"}},
      {"augment_alpha", train({"--augment", "mixup=-1"}), 2, {"mixup is -1"}},
      {"augment_gray", train({"--augment", "saturation"}), 2, {"saturation", "have 1"}},
      {"progress_unknown", train({"--progress", "fancy"}), 2, {"--progress fancy"}},
      {"color_unknown", train({"--color", "red"}), 2, {"--color red"}},
      {"out_below_a_file", train({"--out", "data/train-labels-idx1-ubyte/run"}), 2, {"--out"}},
      {"out_is_a_file", train({"--out", "data/train-labels-idx1-ubyte"}), 2, {"--out"}},
      {"out_on_no_disk", train({"--out", "/proc/run"}), 2, {"--out /proc/run"}},
      {"out_empty_name", train({"--out", ""}), 2, {"--out"}},
      {"out_holds_a_run",
       train({}),
       2,
       {"--out run", "--overwrite"},
       [](const Folder& folder) {
         std::filesystem::create_directory(folder / "run");
         data::write(folder / "run" / "model.safetensors", {1, 2, 3});
       }},
      {"absent_data", train({"--data", "absent"}), 3, {"absent: no such folder"}},
      {"missing_file",
       train({}),
       3,
       {"train-labels"},
       [](const Folder& folder) {
         std::filesystem::remove(folder / "data" / "train-labels-idx1-ubyte");
       }},
      {"truncated_images",
       train({}),
       3,
       {"train-images-idx3-ubyte", "byte"},
       [](const Folder& folder) {
         change(folder / "data" / "train-images-idx3-ubyte",
                [](Bytes* bytes) { bytes->resize(bytes->size() / 2); });
       }},
      {"wrong_magic",
       train({}),
       3,
       {"t10k-images-idx3-ubyte", "magic"},
       [](const Folder& folder) {
         change(folder / "data" / "t10k-images-idx3-ubyte", [](Bytes* bytes) { (*bytes)[3] = 1; });
       }},
      {"label_out_of_range",
       train({}),
       3,
       {"train-labels-idx1-ubyte", "label 10"},
       [](const Folder& folder) {
         change(folder / "data" / "train-labels-idx1-ubyte",
                [](Bytes* bytes) { bytes->back() = 10; });
       }},
      {"counts_differ",
       train({}),
       3,
       {"119 labels", "120 images"},
       [](const Folder& folder) {
         change(folder / "data" / "train-labels-idx1-ubyte", [](Bytes* bytes) {
           bytes->pop_back();
           (*bytes)[7] = 119;
         });
       }},
      {"overwrite_with_bad_data",
       train({"--overwrite", "--data", "absent"}),
       3,
       {"absent"},
       [](const Folder& folder) {
         std::filesystem::create_directory(folder / "run");
         data::write(folder / "run" / "model.safetensors", {1, 2, 3});
       }},
      {"eval_without_model", {"eval", "--data", "data"}, 2, {"--model-dir"}},
      {"eval_absent_model",
       {"eval", "--data", "data", "--model-dir", "absent"},
       3,
       {"absent/model.safetensors", "cannot be opened"}},
      {"eval_bad_model",
       {"eval", "--data", "data", "--model-dir", "run"},
       3,
       {"run/model.safetensors: byte 3"},
       [](const Folder& folder) {
         std::filesystem::create_directory(folder / "run");
         data::write(folder / "run" / "model.safetensors", {1, 2, 3});
       }},
      {"eval_unknown_split",
       {"eval", "--data", "data", "--model-dir", "run", "--split", "tests"},
       2,
       {"--split tests", "did you mean 'test'?"}},
      {"models_unknown", {"models", "resnet"}, 2, {"'resnet' is unknown", "lenet5"}},
      {"doctor_argument", {"doctor", "--yaml"}, 2, {"--yaml"}},
  };
}

// gtest prints parameters; a whole BadInput would be bytes.
void PrintTo(const BadInput& input, std::ostream* stream) { *stream << input.name; }

void expect_refusal(const Outcome& outcome, int code, const std::vector<std::string>& parts) {
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_EQ(outcome.err.rfind("cucina: ", 0), 0u) << outcome.err;
  EXPECT_LT(outcome.err.size(), 500u) << outcome.err;
  for (const std::string& part : parts)
    EXPECT_NE(outcome.err.find(part), std::string::npos)
        << "expected '" << part << "' in: " << outcome.err;
}

class BadInputs : public testing::TestWithParam<BadInput> {};

TEST_P(BadInputs, IsOneSentenceAndTouchesNothing) {
  const Folder folder;
  write_spots(folder / "data", 120, 20);
  if (GetParam().spoil) GetParam().spoil(folder);
  const auto before = contents(folder);
  const Outcome outcome = run(folder, GetParam().arguments);
  expect_refusal(outcome, GetParam().code, GetParam().parts);
  EXPECT_EQ(contents(folder), before);
}

INSTANTIATE_TEST_SUITE_P(Cli, BadInputs, testing::ValuesIn(bad_inputs()),
                         [](const auto& info) { return info.param.name; });

TEST(Cli, CudaWithoutAGpuIsRefused) {
  if (cuda_available()) GTEST_SKIP() << "there is a GPU here";
  const Folder folder;
  write_spots(folder / "data", 120, 20);
  const auto before = contents(folder);
  expect_refusal(run(folder, train({"--device", "cuda"})), 4, {});
  // The device is asked for before anything is read.
  expect_refusal(run(folder, train({"--device", "cuda", "--data", "absent"})), 4, {});
  EXPECT_EQ(contents(folder), before);
}

TEST(Cli, AnUnknownBackendInTheEnvironmentIsRefused) {
  const Folder folder;
  write_spots(folder / "data", 120, 20);
  expect_refusal(run(folder, train({}), {{"CUCINA_BACKEND", "foot"}}), 2, {"'foot'"});
}

TEST(Cli, AFullDiskBehindStdoutIsAFailure) {
  const Folder folder;
  const std::string command = std::string("'") + CUCINA_PROGRAM + "' models > /dev/full 2> '" +
                              (folder / ".err").string() + "'";
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 1);
  EXPECT_NE(text_of(folder / ".err").find("stdout"), std::string::npos);
}

}  // namespace
}  // namespace cucina::cli
