#include "mbmf/export/bundle.h"

#include <mujoco/mujoco.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <utility>

#include "export/folder_reader.h"
#include "export/json_field.h"
#include "export/sha256.h"
#include "export/task_json.h"
#include "export/tensor_reader.h"
#include "mbmf/base/error.h"

namespace mbmf {

namespace {

constexpr const char* kSums = "SHA256SUMS";
constexpr const char* kBundle = "bundle.json";
constexpr const char* kDynamics = "dynamics.safetensors";
constexpr const char* kValue = "value.safetensors";
constexpr const char* kPolicy = "policy.safetensors";
constexpr const char* kModel = "model.mjb";
constexpr std::size_t kMaxSums = 1 << 20, kMaxBundle = 16 << 20, kMaxFile = std::size_t{1} << 31;
constexpr int kMaxWidth = 1 << 20;
constexpr std::int64_t kMaxMembers = 1000;

// a relative path that stays in the folder
bool good_name(const std::string& name) {
  if (name.empty() || name.size() > 200 || name.front() == '/' || name.find("..") != std::string::npos)
    return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '/';
  });
}

// lines of 64 hexadecimal digits, two spaces and a name, in the order of the names
std::vector<std::pair<std::string, std::string>> parse_sums(const std::string& text,
                                                            const std::string& path) {
  std::vector<std::pair<std::string, std::string>> sums;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end == std::string::npos ? end : end - at);
    const std::string digest = line.substr(0, 64);
    const bool good = end != std::string::npos && line.size() > 66 && line.compare(64, 2, "  ") == 0 &&
                      digest.find_first_not_of("0123456789abcdef") == std::string::npos;
    std::string name = good ? line.substr(66) : "";
    if (!good || !good_name(name) || (!sums.empty() && !(sums.back().first < name))) {
      throw Error(path + " must be checksums as mbmf export writes them, got something else in line " +
                  std::to_string(sums.size() + 1));
    }
    sums.emplace_back(std::move(name), digest);
    at = end + 1;
  }
  return sums;
}

// What a folder holds besides SHA256SUMS.
struct Files {
  std::map<std::string, std::size_t> sizes;     // of all
  std::map<std::string, std::string> contents;  // of those that are read
};

// all files, whose checksums are right
Files read_files(const std::string& folder) {
  const FolderReader reader(folder);
  const std::string sums_path = reader.path_of(kSums);
  Files files;
  for (const auto& [name, digest] : parse_sums(reader.read(kSums, kMaxSums), sums_path)) {
    std::string bytes = reader.read(name, name == kBundle ? kMaxBundle : kMaxFile);
    if (sha256(bytes.data(), bytes.size()) != digest) {
      throw Error(reader.path_of(name) + " must be as it was exported, got a file with another checksum");
    }
    files.sizes.emplace(name, bytes.size());
    if (name == kBundle || name == kDynamics || name == kValue || name == kPolicy || name == kModel)
      files.contents.emplace(name, std::move(bytes));
  }
  for (const char* name : {kBundle, kDynamics, kModel}) {
    if (!files.contents.contains(name)) throw Error(sums_path + " must list " + name + ", got none");
  }
  return files;
}

// numbers (members, rows, cols) of a tensor, as one member's
std::vector<float> part(const std::vector<float>& numbers, std::int64_t members, std::int64_t member) {
  const auto size = static_cast<std::ptrdiff_t>(numbers.size()) / members;
  return {numbers.begin() + member * size, numbers.begin() + (member + 1) * size};
}

std::vector<StateInput> load_inputs(const JsonField& field) {
  std::vector<StateInput> inputs;
  for (const JsonField& input : field.items()) {
    inputs.push_back(static_cast<StateInput>(
        input.one_of({"value", "sine_cosine", "nothing", "rotation", "vertical", "body"})));
  }
  return inputs;
}

std::shared_ptr<const Dynamics> load_dynamics(const JsonField& field, const TensorReader& tensors,
                                              const std::shared_ptr<const Task>& task) {
  const int nstate = task->nstate(), naction = task->naction();
  field.only({"hidden", "activation", "members", "probabilistic", "inputs", "outputs", "particles",
              "propagate", "risk"});
  DynamicsSpec spec;
  spec.nstate = nstate;
  spec.naction = naction;
  spec.activation = static_cast<Activation>(field["activation"].one_of({"relu", "tanh", "silu"}));
  const std::int64_t members = field["members"].integer(1, kMaxMembers);
  const bool probabilistic = field["probabilistic"].boolean();
  spec.input = load_inputs(field["inputs"]);
  for (const JsonField& output : field["outputs"].items()) {
    spec.output.push_back(static_cast<StateOutput>(
        output.one_of({"difference", "value", "rotation", "body_difference", "body_value"})));
  }
  const auto states = static_cast<std::size_t>(nstate);
  for (const auto& [name, size] : {std::pair{"inputs", spec.input.size()}, {"outputs", spec.output.size()}}) {
    if (size != states) field[name].fail("a list of " + std::to_string(nstate) + ", one for each state");
  }
  spec.particles = static_cast<int>(field["particles"].integer(0, 1'000'000));
  spec.propagation = static_cast<Propagation>(field["propagate"].one_of({"expectation", "ts1", "tsinf"}));
  spec.risk = field["risk"].number();

  spec.known = std::shared_ptr<const KnownStates>(task, &task->known());
  const std::vector<int> each = seen_of_each(spec.input);
  const std::int64_t seen = std::accumulate(each.begin(), each.end(), 0);
  std::vector<std::int64_t> sizes = {seen + naction};
  for (const JsonField& width : field["hidden"].items(64)) sizes.push_back(width.integer(1, kMaxWidth));
  sizes.push_back(probabilistic ? 2 * nstate : nstate);
  spec.members.resize(static_cast<std::size_t>(members));
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    const std::string number = std::to_string(i);
    const std::int64_t rows = sizes[i + 1], cols = sizes[i];
    const std::vector<float> weight = tensors.float32("weight." + number, {members, rows, cols}),
                             bias = tensors.float32("bias." + number, {members, rows});
    for (std::int64_t member = 0; member < members; ++member) {
      spec.members[static_cast<std::size_t>(member)].push_back(
          {static_cast<int>(rows), static_cast<int>(cols), part(weight, members, member),
           part(bias, members, member)});
    }
  }
  const auto normalization = [&](const std::string& name, std::int64_t size) {
    return Normalization{tensors.float64(name + ".mean", {size}), tensors.float64(name + ".std", {size})};
  };
  spec.state = normalization("state", seen);
  spec.action = normalization("action", naction);
  spec.delta = normalization("delta", nstate);
  const bool unseen =
      std::find(spec.input.begin(), spec.input.end(), StateInput::kNothing) != spec.input.end();
  if (unseen) spec.whole = normalization("whole", nstate);
  if (probabilistic) {
    spec.log_variance_min = tensors.float64("log_variance.min", {nstate});
    spec.log_variance_max = tensors.float64("log_variance.max", {nstate});
  }
  const std::size_t expected = 2 * (sizes.size() - 1) + (probabilistic ? 8 : 6) + (unseen ? 2 : 0);
  if (tensors.names().size() != expected) {
    throw Error(std::string(kDynamics) + " must hold " + std::to_string(expected) + " tensors, got " +
                std::to_string(tensors.names().size()));
  }
  return std::make_shared<Dynamics>(std::move(spec));
}

std::shared_ptr<const Value> load_value(const JsonField& field, const TensorReader& tensors, int nstate) {
  field.only({"hidden", "activation", "inputs"});
  ValueSpec spec;
  spec.nstate = nstate;
  spec.activation = static_cast<Activation>(field["activation"].one_of({"relu", "tanh", "silu"}));
  spec.input = load_inputs(field["inputs"]);
  if (spec.input.size() != static_cast<std::size_t>(nstate)) {
    field["inputs"].fail("a list of " + std::to_string(nstate) + ", one for each state");
  }
  const std::vector<int> each = seen_of_each(spec.input);
  const std::int64_t seen = std::accumulate(each.begin(), each.end(), 0);
  std::vector<std::int64_t> sizes = {seen};
  for (const JsonField& width : field["hidden"].items(64)) sizes.push_back(width.integer(1, kMaxWidth));
  sizes.push_back(1);
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    const std::string number = std::to_string(i);
    spec.layers.push_back({static_cast<int>(sizes[i + 1]), static_cast<int>(sizes[i]),
                           tensors.float32("weight." + number, {sizes[i + 1], sizes[i]}),
                           tensors.float32("bias." + number, {sizes[i + 1]})});
  }
  spec.state = {tensors.float64("state.mean", {seen}), tensors.float64("state.std", {seen})};
  spec.mean = tensors.float64("value.mean", {1}).front();
  spec.std = tensors.float64("value.std", {1}).front();
  spec.low = tensors.float64("value.low", {1}).front();
  spec.high = tensors.float64("value.high", {1}).front();
  const std::size_t expected = 2 * (sizes.size() - 1) + 6;
  if (tensors.names().size() != expected) {
    throw Error(std::string(kValue) + " must hold " + std::to_string(expected) + " tensors, got " +
                std::to_string(tensors.names().size()));
  }
  return std::make_shared<Value>(std::move(spec));
}

std::shared_ptr<const GaussianPolicy> load_policy(const JsonField& field, const TensorReader& tensors,
                                                  const Task& task) {
  field.only({"hidden"});
  std::vector<std::int64_t> sizes = {task.nobservation()};
  for (const JsonField& width : field["hidden"].items(64)) sizes.push_back(width.integer(1, kMaxWidth));
  sizes.push_back(task.naction());
  std::vector<Layer> layers;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    const std::string number = std::to_string(i);
    layers.push_back({static_cast<int>(sizes[i + 1]), static_cast<int>(sizes[i]),
                      tensors.float32("weight." + number, {sizes[i + 1], sizes[i]}),
                      tensors.float32("bias." + number, {sizes[i + 1]})});
  }
  const std::size_t expected = 2 * (sizes.size() - 1) + 1;
  if (tensors.names().size() != expected) {
    throw Error(std::string(kPolicy) + " must hold " + std::to_string(expected) + " tensors, got " +
                std::to_string(tensors.names().size()));
  }
  return std::make_shared<GaussianPolicy>(std::move(layers), tensors.float32("log_std", {task.naction()}));
}

Bundle read_bundle(const Files& files) {
  const JsonField field = JsonField::parse(files.contents.at(kBundle), kBundle);
  if (field["format"].text() != "mbmf-export") field["format"].fail("\"mbmf-export\"");
  if (field["format_version"].integer(0, 1'000'000) != 6) {
    field["format_version"].fail("6 (export the run again with this release: mbmf export)");
  }
  field.only({"format", "format_version", "versions", "source", "files", "task", "dynamics", "value",
              "policy", "planner", "control"});

  Bundle bundle;
  field["versions"].only({"mbmf", "mujoco"});
  bundle.mbmf_version = field["versions"]["mbmf"].text();
  bundle.mujoco_version = field["versions"]["mujoco"].text();
  if (bundle.mujoco_version != mj_versionString()) {
    field["versions"]["mujoco"].fail(
        std::string(mj_versionString()) +
        " as loaded here (export again with that release, or link the export's)");
  }
  bundle.source = field["source"].text();
  const auto sizes = field["files"].members();
  if (sizes.size() + 1 != files.sizes.size()) field["files"].fail("the sizes of all other files");
  for (const auto& [name, size] : sizes) {
    const auto file = files.sizes.find(name);
    if (file == files.sizes.end()) size.fail("of a file that is there");
    if (static_cast<std::size_t>(size.integer(0, kMaxFile)) != file->second) {
      size.fail("the file's size, " + std::to_string(file->second));
    }
  }

  const std::string& mjb = files.contents.at(kModel);
  bundle.task = Task::load(mjb.data(), mjb.size(), task_from_json(field["task"]));
  bundle.dynamics =
      load_dynamics(field["dynamics"], TensorReader(files.contents.at(kDynamics), kDynamics), bundle.task);
  if (!field["value"].is_null()) {
    const auto file = files.contents.find(kValue);
    if (file == files.contents.end()) field["value"].fail("null where there is no value.safetensors");
    bundle.planner.value =
        load_value(field["value"], TensorReader(file->second, kValue), bundle.task->nstate());
  } else if (files.contents.contains(kValue)) {
    field["value"].fail("what value.safetensors holds");
  }
  if (!field["policy"].is_null()) {
    const auto file = files.contents.find(kPolicy);
    if (file == files.contents.end()) field["policy"].fail("null where there is no policy.safetensors");
    bundle.planner.policy = load_policy(field["policy"], TensorReader(file->second, kPolicy), *bundle.task);
  } else if (files.contents.contains(kPolicy)) {
    field["policy"].fail("what policy.safetensors holds");
  }
  const JsonField planner = field["planner"], control = field["control"];
  planner.only({"search", "horizon", "candidates", "seed", "settings", "proposals"});
  bundle.planner.search = planner["search"].text();
  for (const auto& [name, value] : planner["settings"].members()) {
    bundle.planner.settings[name] = value.number();
  }
  bundle.planner.horizon = static_cast<int>(planner["horizon"].integer(1, 10'000));
  bundle.planner.candidates = planner["candidates"].integer(1, 100'000'000);
  bundle.planner.seed = planner["seed"].natural();
  const bool proposes = bundle.planner.policy != nullptr;
  bundle.planner.proposals =
      planner["proposals"].integer(proposes ? 1 : 0, proposes ? bundle.planner.candidates : 0);
  control.only({"period"});
  bundle.period = control["period"].number();
  if (!(bundle.period > 0)) control["period"].fail("above 0");
  return bundle;
}

}  // namespace

Bundle Bundle::load(const std::string& folder) {
  const Files files = read_files(folder);
  try {
    return read_bundle(files);
  } catch (const std::exception& error) {
    throw Error(folder + ": " + error.what());
  }
}

}  // namespace mbmf
