#include "export/task_json.h"

#include <limits>

namespace mbmf {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kMaxInt = std::numeric_limits<int>::max();

// an end that is null is open to infinity
Bounds bounds(const JsonField& field) {
  field.only({"low", "high", "low_open", "high_open"});
  return {field["low"].number_or(-kInfinity), field["high"].number_or(kInfinity), field["low_open"].boolean(),
          field["high_open"].boolean()};
}

Channel channel(const JsonField& field) {
  field.only({"source", "address", "transform", "low", "high", "lagged"});
  Channel c;
  c.source = static_cast<Source>(
      field["source"].one_of({"time", "qpos", "qvel", "act", "sensor", "body_pos", "body_rotation",
                              "site_pos", "subtree_com", "subtree_linvel", "body_euler", "contact_force"}));
  c.address = static_cast<int>(field["address"].integer(0, kMaxInt));
  c.transform = static_cast<Transform>(field["transform"].one_of({"identity", "cos", "sin", "rate"}));
  c.low = field["low"].number_or(-kInfinity);
  c.high = field["high"].number_or(kInfinity);
  c.lagged = field["lagged"].boolean();
  return c;
}

std::vector<Channel> channels(const JsonField& field) {
  std::vector<Channel> all;
  for (const JsonField& item : field.items()) all.push_back(channel(item));
  return all;
}

std::vector<Term> terms(const JsonField& field) {
  std::vector<Term> all;
  for (const JsonField& item : field.items()) {
    item.only({"kind", "weight", "index", "target", "target_index", "bounds", "terminal"});
    Term term;
    term.kind = static_cast<TermKind>(item["kind"].one_of(
#define MBMF_TERM_NAME(kind) term_kinds::kind::kName,
        {MBMF_TERM_KINDS(MBMF_TERM_NAME)}));
#undef MBMF_TERM_NAME
    term.weight = item["weight"].number();
    term.index = item["index"].indices();
    term.target = item["target"].numbers();
    term.target_index = item["target_index"].indices();
    term.bounds = bounds(item["bounds"]);
    term.terminal = item["terminal"].boolean();
    all.push_back(std::move(term));
  }
  return all;
}

Noise noise(const JsonField& field) {
  field.only({"kind", "scale"});
  return {static_cast<NoiseKind>(field["kind"].one_of({"none", "normal", "uniform"})),
          field["scale"].number()};
}

Reset reset(const JsonField& field) {
  field.only({"qpos", "qvel", "set_qpos"});
  Reset r{noise(field["qpos"]), noise(field["qvel"]), {}};
  for (const JsonField& item : field["set_qpos"].items()) {
    item.only({"index", "low", "high"});
    r.set_qpos.push_back(
        {static_cast<int>(item["index"].integer(0, kMaxInt)), item["low"].number(), item["high"].number()});
  }
  return r;
}

PathCost path(const JsonField& field) {
  field.only({"waypoints", "relative", "x", "y", "heading", "distance", "far", "far_factor", "forward",
              "turn", "turn_limit", "turn_beyond", "strict", "last_segment"});
  PathCost p;
  for (const JsonField& point : field["waypoints"].items()) {
    const std::vector<double> xy = point.numbers();
    if (xy.size() != 2) point.fail("two numbers");
    p.waypoints.insert(p.waypoints.end(), xy.begin(), xy.end());
  }
  p.relative = field["relative"].boolean();
  p.x = static_cast<int>(field["x"].integer(0, kMaxInt));
  p.y = static_cast<int>(field["y"].integer(0, kMaxInt));
  p.heading = static_cast<int>(field["heading"].integer(-1, kMaxInt));
  p.distance = field["distance"].number();
  p.far = field["far"].number_or(kInfinity);
  p.far_factor = field["far_factor"].number();
  p.forward = field["forward"].number();
  p.turn = field["turn"].number();
  p.turn_limit = field["turn_limit"].number_or(kInfinity);
  p.turn_beyond = field["turn_beyond"].number();
  p.strict = field["strict"].boolean();
  p.last_segment = static_cast<int>(field["last_segment"].integer(0, kMaxInt));
  return p;
}

}  // namespace

TaskSpec task_from_json(const JsonField& field) {
  field.only({"name", "physics_steps", "state", "observation", "reward_state", "reward", "healthy_reward",
              "cost", "path", "alive", "dying_cost", "healthy", "start_qpos", "start_qvel", "reset",
              "safe_action"});
  TaskSpec spec;
  spec.name = field["name"].text();
  spec.physics_steps = static_cast<int>(field["physics_steps"].integer(1, 1'000'000));
  spec.state = channels(field["state"]);
  spec.observation = channels(field["observation"]);
  spec.reward_state = channels(field["reward_state"]);
  spec.reward = terms(field["reward"]);
  spec.healthy_reward = field["healthy_reward"].number();
  spec.cost = terms(field["cost"]);
  if (!field["path"].is_null()) spec.path = path(field["path"]);
  spec.dying_cost = field["dying_cost"].number();
  for (const JsonField& item : field["alive"].items()) {
    item.only({"index", "bounds"});
    spec.alive.push_back({static_cast<int>(item["index"].integer(0, kMaxInt)), bounds(item["bounds"])});
  }
  for (const JsonField& item : field["healthy"].items()) {
    item.only({"channel", "bounds"});
    spec.healthy.push_back({channel(item["channel"]), bounds(item["bounds"])});
  }
  spec.start_qpos = field["start_qpos"].numbers();
  spec.start_qvel = field["start_qvel"].numbers();
  const std::vector<JsonField> resets = field["reset"].items(3);
  if (resets.size() != 3) field["reset"].fail("three resets");
  for (std::size_t i = 0; i < 3; ++i) spec.reset[i] = reset(resets[i]);
  spec.safe_action = field["safe_action"].numbers();
  return spec;
}

}  // namespace mbmf
