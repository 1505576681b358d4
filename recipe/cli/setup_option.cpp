// Adds the options of a training set-up, and builds its model.
#include "recipe/cli/setup_option.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/common/precision.h"
#include "nn/fusion.h"
#include "nn/init.h"
#include "recipe/cli/config_option.h"
#include "recipe/cli/group_option.h"
#include "recipe/cli/model_option.h"
#include "recipe/data/loader.h"

namespace cucina::cli {

void add_setup(CLI::App& app, SetupOptions* options) {
  skeleton::TrainOptions& train = options->train;
  add_data(app, &options->data);
  add_model(app, &options->model, "What to train");
  add_number(app, "--dropout", &options->dropout, Numbers::below_one,
             "bn_cnn: how likely a channel is dropped");
  add_integer(app, "--epochs", &train.epochs, 1, "Passes over the training images");
  add_integer(app, "--batch-size", &train.batch_size, 1, "Images per step");
  add_number(app, "--lr", &train.learning_rate, Numbers::positive,
             "Learning rate; with a schedule the highest");
  add_choice(app, "--schedule", &options->schedule, optim::schedule_names(),
             "How the learning rate changes from step to step");
  add_integer(app, "--warmup-steps", &train.schedule.warmup_steps, 0,
              "So many steps in which the rate rises evenly to --lr");
  add_integer(app, "--step-every", &train.schedule.step_every, 0,
              "step: the rate is multiplied by --step-factor every so many steps");
  add_number(app, "--step-factor", &train.schedule.step_factor, Numbers::below_one,
             "step: what the rate is multiplied by");
  add_choice(
      app, "--optimizer", &train.optimizer, {"adam", "sgd", "muon"},
      "How weights are updated; muon: of hidden layers, the others by adam at 0.015 of --lr");
  add_number(app, "--momentum", &train.momentum, Numbers::below_one, "sgd: momentum");
  add_number(app, "--weight-decay", &train.weight_decay, Numbers::not_negative,
             "Of weights, not of biases; decoupled with adam (AdamW) and muon, L2 with sgd");
  add_number(app, "--clip-norm", &train.clip_norm, Numbers::not_negative,
             "Scale gradients down to this norm where theirs is larger; 0: never");
  add_augment(app, &options->augment);
  add_integer(app, "--seed", &options->seed, 0,
              "Of initial weights, order of images, dropout and augmentation; the splits do not "
              "depend on it");
  add_choice(
      app, "--init", &options->init, nn::initial_names(),
      "How weights start; torch: as PyTorch's layers, the others but xavier with relu's gain");
  add_choice(app, "--head", &options->head, {"kaiming", "prior", "zero"},
             "How the last layer starts; kaiming: as the others; prior: it predicts the class "
             "frequencies, "
             "so that training does not begin with unlearning; zero: all classes alike");
  app.add_option(
         "--freeze", options->freeze,
         "Do not train the parameters of this name (conv1.weight), below it (layer1) or of this "
         "pattern ('*.bias'); as "
         "often as wanted")
      ->type_name("NAME")
      ->expected(1)
      ->take_all();
  add_integer(app, "--schedule-steps", &train.schedule.total_steps, 0,
              "cosine, linear, one-cycle: when the schedule ends; 0: with the last epoch");
  add_number(app, "--final-lr-ratio", &train.schedule.final_ratio, Numbers::below_one,
             "cosine, linear: the last rate over --lr");
  app.add_flag("--nesterov", train.nesterov, "sgd: Nesterov's momentum");
  add_groups(app, &train.groups);
  add_number(app, "--clip-value", &train.clip_value, Numbers::not_negative,
             "Limit each gradient to this, up and down; 0: never");
  add_integer(app, "--accumulate", &train.accumulate, 1,
              "Take the images of a step in so many parts, one after the other, which needs less "
              "memory; --batch-size counts all of them");
  add_number(app, "--ema", &train.ema, Numbers::below_one,
             "Evaluate and save a running average of the weights, with this decay, such as 0.999; "
             "0: the weights themselves");
  add_integer(app, "--swa-start", &train.swa_start, 0,
              "Evaluate and save the mean of the weights from this step on; 0: never");
  add_integer(app, "--swa-every", &train.swa_every, 1, "--swa-start: of every so many steps");
  add_integer(app, "--lookahead", &train.lookahead, 0,
              "Every so many steps slow weights move half of the way to the weights, which go on "
              "from there; 0: never");
  add_choice(app, "--dtype", &options->dtype, {"f32", "tf32", "bf16"},
             "bf16: of activations; weights, their gradients and the loss stay f32. tf32, on the "
             "GPU: factors of products are rounded to 10 bits");
  app.add_flag("--no-fusion", options->no_fusion,
               "Run layers one by one; cucina models NAME shows which go together");
  add_compute(app, &options->compute);
  add_config(app, options);
}

void check_setup(const SetupOptions& options) {
  if (options.train.optimizer != "sgd" && options.train.momentum > 0)
    fail("--momentum {}: {} has its own; give --optimizer sgd, or leave --momentum out",
         options.train.momentum, options.train.optimizer);
  if (options.train.nesterov && (options.train.optimizer != "sgd" || options.train.momentum == 0))
    fail("--nesterov: needs --optimizer sgd with a --momentum, and these are {} and {}",
         options.train.optimizer, options.train.momentum);
  const optim::ScheduleOptions& schedule = options.train.schedule;
  const bool falls = options.schedule == "cosine" || options.schedule == "linear";
  if (schedule.final_ratio > 0 && !falls)
    fail("--final-lr-ratio {}: has no effect with --schedule {}; cosine and linear have one",
         schedule.final_ratio, options.schedule);
  if (schedule.total_steps > 0 && !falls && options.schedule != "one-cycle")
    fail("--schedule-steps {}: has no effect with --schedule {}, which never ends",
         schedule.total_steps, options.schedule);
  if (schedule.step_every > 0 && options.schedule != "step")
    fail("--step-every {}: has no effect with --schedule {}; give --schedule step",
         schedule.step_every, options.schedule);
  if (options.train.swa_every > 1 && options.train.swa_start == 0)
    fail("--swa-every {}: has no effect without --swa-start", options.train.swa_every);
}

void complete_train(SetupOptions* options) {
  check_setup(*options);
  options->train.device = options->compute.chosen_device();
  options->train.seed = static_cast<std::uint64_t>(options->seed);
  options->train.schedule.kind = optim::parse_schedule(options->schedule);
  options->train.dtype = options->dtype == "bf16" ? DType::bf16 : DType::f32;
  if (options->dtype == "tf32") set_float32_precision(Precision::tf32);
  nn::set_fusion(!options->no_fusion);
}

void augment_for(const data::ImageSet& images, SetupOptions* options) {
  options->train.augmentation = options->augment.for_images(images.h, images.w, images.c);
  options->train.mixing = options->augment.mixing;
}

nn::Model make_model(const SetupOptions& options, const data::Dataset& data) {
  const data::ImageSet& train = data.train;
  nn::ModelSpec spec = options.layers.empty()
                           ? model_spec(options.model, train.h, train.w, train.c, train.classes)
                           : nn::ModelSpec{options.model, train.h, train.w,       train.c,
                                           train.classes, 0,       options.layers};
  spec.dropout = options.dropout;
  nn::Model model = nn::make_model(spec, options.train.seed, nn::initial_named(options.init));
  if (model.whitening != nullptr) {
    constexpr std::int64_t kImages = 5000;  // as airbench94 has it: enough for a dozen axes
    const data::Loader loader(train, data::standardisation(train), std::min(kImages, train.n),
                              Device::cpu);
    nn::whiten(*model.whitening, loader.in_order(0).images);
  }
  if (options.head == "prior") nn::init_head(*model.head, data::class_counts(train));
  if (options.head == "zero") nn::zero_head(*model.head);
  for (const std::string& name : options.freeze) model.net->freeze(name);
  return model;
}

}  // namespace cucina::cli
