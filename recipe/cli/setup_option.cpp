// Adds the options of a training set-up, and builds its model.
#include "recipe/cli/setup_option.h"

#include <algorithm>

#include "nn/init.h"
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
  add_compute(app, &options->compute);
}

void complete_train(SetupOptions* options) {
  options->train.device = options->compute.chosen_device();
  options->train.seed = static_cast<std::uint64_t>(options->seed);
  options->train.schedule.kind = optim::parse_schedule(options->schedule);
}

void augment_for(const data::ImageSet& images, SetupOptions* options) {
  options->train.augmentation = options->augment.for_images(images.h, images.w, images.c);
  options->train.mixing = options->augment.mixing;
}

nn::Model make_model(const SetupOptions& options, const data::Dataset& data) {
  const data::ImageSet& train = data.train;
  nn::ModelSpec spec = model_spec(options.model, train.h, train.w, train.c, train.classes);
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
