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
  c.source = static_cast<Source>(field["source"].one_of({"time",           "qpos",
                                                         "qvel",           "act",
                                                         "sensor",         "body_pos",
                                                         "body_rotation",  "site_pos",
                                                         "subtree_com",    "subtree_linvel",
                                                         "body_euler",     "contact_force",
                                                         "tendon_length",  "tendon_velocity",
                                                         "actuator_force", "site_rotation",
                                                         "body_velocity",  "site_velocity",
                                                         "qacc",           "geom_distance",
                                                         "body_quat",      "goal",
                                                         "reference"}));
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

std::vector<Reset::Set> sets(const JsonField& field) {
  std::vector<Reset::Set> all;
  for (const JsonField& item : field.items()) {
    item.only({"index", "low", "high"});
    all.push_back(
        {static_cast<int>(item["index"].integer(0, kMaxInt)), item["low"].number(), item["high"].number()});
  }
  return all;
}

std::vector<Reset::Own> owns(const JsonField& field) {
  std::vector<Reset::Own> all;
  for (const JsonField& item : field.items()) {
    item.only({"index", "noise"});
    all.push_back({static_cast<int>(item["index"].integer(0, kMaxInt)), noise(item["noise"])});
  }
  return all;
}

Reset reset(const JsonField& field) {
  // `own` is there only where a task uses it: exports of before there was such a thing are read as they are
  const bool has_own = field.has("own");
  has_own ? field.only({"qpos", "qvel", "set_qpos", "own"}) : field.only({"qpos", "qvel", "set_qpos"});
  Reset r;
  r.qpos = noise(field["qpos"]);
  r.qvel = noise(field["qvel"]);
  r.set_qpos = sets(field["set_qpos"]);
  if (!has_own) return r;
  const JsonField own = field["own"];
  own.only({"own_qpos", "own_qvel", "turns", "set_mocap", "mocap_turns", "set_time"});
  r.own_qpos = owns(own["own_qpos"]);
  r.own_qvel = owns(own["own_qvel"]);
  r.turns = owns(own["turns"]);
  r.set_mocap = sets(own["set_mocap"]);
  r.mocap_turns = owns(own["mocap_turns"]);
  r.set_time = sets(own["set_time"]);
  return r;
}

// What moves without the robot, into the specification.
void motion(const JsonField& field, TaskSpec* spec) {
  field.only({"start_mocap", "goals", "references", "follows", "moves"});
  spec->start_mocap = field["start_mocap"].numbers();
  for (const JsonField& item : field["goals"].items()) {
    item.only({"is_rotation", "low", "high"});
    spec->goals.push_back({item["is_rotation"].boolean(), item["low"].number(), item["high"].number()});
  }
  for (const JsonField& item : field["references"].items()) {
    item.only({"time", "value", "columns", "loop", "quaternion"});
    Reference r;
    r.time = item["time"].numbers();
    r.value = item["value"].numbers();
    r.columns = static_cast<int>(item["columns"].integer(1, 10'000));
    r.loop = item["loop"].boolean();
    r.quaternion = item["quaternion"].indices();
    spec->references.push_back(std::move(r));
  }
  for (const JsonField& item : field["follows"].items()) {
    item.only({"body", "reference", "position", "quaternion"});
    const auto index = [&item](const char* key) { return static_cast<int>(item[key].integer(-1, kMaxInt)); };
    spec->follows.push_back({index("body"), index("reference"), index("position"), index("quaternion")});
  }
  for (const JsonField& item : field["moves"].items()) {
    item.only({"kind", "body", "axis", "low", "high", "speed"});
    MocapMove move;
    move.kind = static_cast<MocapMove::Kind>(item["kind"].one_of({"position", "velocity", "turn"}));
    move.body = static_cast<int>(item["body"].integer(0, kMaxInt));
    move.axis = static_cast<int>(item["axis"].integer(0, 2));
    move.low = item["low"].number_or(-kInfinity);
    move.high = item["high"].number_or(kInfinity);
    move.speed = item["speed"].number();
    spec->moves.push_back(move);
  }
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
  TaskSpec spec;
  if (field.has("motion")) {
    field.only({"name", "physics_steps", "state", "observation", "reward_state", "reward", "healthy_reward",
                "cost", "path", "alive", "dying_cost", "healthy", "keyframe", "start_qpos", "start_qvel",
                "reset", "safe_action", "motion"});
    motion(field["motion"], &spec);
  } else {
    field.only({"name", "physics_steps", "state", "observation", "reward_state", "reward", "healthy_reward",
                "cost", "path", "alive", "dying_cost", "healthy", "keyframe", "start_qpos", "start_qvel",
                "reset", "safe_action"});
  }
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
  spec.keyframe = static_cast<int>(field["keyframe"].integer(-1, kMaxInt));
  spec.start_qpos = field["start_qpos"].numbers();
  spec.start_qvel = field["start_qvel"].numbers();
  const std::vector<JsonField> resets = field["reset"].items(3);
  if (resets.size() != 3) field["reset"].fail("three resets");
  for (std::size_t i = 0; i < 3; ++i) spec.reset[i] = reset(resets[i]);
  spec.safe_action = field["safe_action"].numbers();
  return spec;
}

}  // namespace mbmf
