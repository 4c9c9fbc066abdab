#include "mbmf/task/task.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "mbmf/base/error.h"
#include "physics/subtree_motion.h"
#include "task/channels.h"
#include "task/cost_walk.h"
#include "task/model_loader.h"
#include "task/step_memory.h"

namespace mbmf {

namespace {

std::string item(const char* list, std::size_t i) { return list + ("[" + std::to_string(i) + "]"); }

void check_channels(const mjModel* m, const std::vector<Channel>& channels, const char* what) {
  if (channels.empty()) throw_invalid(what, " must be one or more channels, got none");
  for (std::size_t i = 0; i < channels.size(); ++i) check_channel(m, channels[i], item(what, i));
}

void check_start(const std::vector<double>& start, mjtSize size, const char* what) {
  if (start.size() != static_cast<std::size_t>(size)) {
    throw_invalid(what, " must be ", size, " values for this model, got ", start.size());
  }
  for (double x : start) {
    if (!std::isfinite(x)) throw_invalid(what, " must be finite, got ", x);
  }
}

void check_noise(const Noise& noise, const std::string& where) {
  if (noise.kind < NoiseKind::kNone || noise.kind > NoiseKind::kUniform) {
    throw_invalid(where, ".kind must be a kind of noise, got ", static_cast<int>(noise.kind));
  }
  if (!(noise.scale >= 0) || !std::isfinite(noise.scale)) {
    throw_invalid(where, ".scale must be finite and at least 0, got ", noise.scale);
  }
}

void check_reset(const Reset& reset, mjtSize nq, const std::string& where) {
  check_noise(reset.qpos, where + ".qpos");
  check_noise(reset.qvel, where + ".qvel");
  for (const Reset::Set& set : reset.set_qpos) {
    if (set.index < 0 || set.index >= nq) {
      throw_invalid(where, ".set_qpos must be qpos indices in [0, ", nq, "), got ", set.index);
    }
    if (!std::isfinite(set.low) || !std::isfinite(set.high) || set.low > set.high) {
      throw_invalid(where, ".set_qpos must be a finite interval with low <= high, got low ", set.low,
                    " and high ", set.high);
    }
  }
}

double draw(const Noise& noise, Draws* draws) {
  switch (noise.kind) {
    case NoiseKind::kNone:
      return 0;
    case NoiseKind::kNormal:
      return noise.scale * draws->normal();
    case NoiseKind::kUniform:
      return noise.scale * (2 * draws->uniform() - 1);
  }
  return 0;
}

bool finite(const mjtNum* x, mjtSize n) {
  for (mjtSize i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) return false;
  }
  return true;
}

}  // namespace

std::shared_ptr<const Task> Task::load(const void* mjb, std::size_t size, TaskSpec spec) {
  return std::shared_ptr<const Task>(new Task(load_model(mjb, size), std::move(spec)));
}

Task::Task(mjModel* model, TaskSpec spec) : model_(model), spec_(std::move(spec)) {
  try {
    check();
  } catch (...) {
    mj_deleteModel(model_);
    throw;
  }
  // what a simulation keeps
  memory_ = std::make_unique<StepMemory>();
  for (std::vector<Channel>* channels : {&spec_.state, &spec_.observation, &spec_.reward_state}) {
    for (Channel& channel : *channels) memory_->add(&channel);
  }
  for (ChannelBound& bound : spec_.healthy) memory_->add(&bound.channel);
  if (reads_action_rate(spec_.reward)) memory_->add_actions(naction());
  model_->nuserdata = std::max(model_->nuserdata, static_cast<mjtSize>(memory_->size()));
  observes_state_ = spec_.state == spec_.observation;

  // what refresh must compute
  std::set<int> bodies;
  reads_kinematics_ = reads_sensors_ = false;
  const auto needs = [this, &bodies](const Channel& channel) {
    if (StepMemory::left_by_step(channel)) return;
    if (channel.source == Source::kSubtreeCom || channel.source == Source::kSubtreeLinvel) {
      bodies.insert(channel.address / 3);
    } else {
      reads_kinematics_ |= channel.source >= Source::kBodyPos;
      reads_sensors_ |= channel.source == Source::kSensor;
    }
  };
  for (const Channel& channel : spec_.state) needs(channel);
  for (const Channel& channel : spec_.observation) needs(channel);
  for (const Channel& channel : spec_.reward_state) needs(channel);
  for (const ChannelBound& bound : spec_.healthy) needs(bound.channel);
  subtrees_ = std::make_unique<SubtreeMotion>(model_, std::vector<int>(bodies.begin(), bodies.end()));
  reads_subtrees_ = !bodies.empty();

  // the line from [-1, 1] to each actuator's range
  for (mjtSize i = 0; i < model_->nu; ++i) {
    const mjtNum low = model_->actuator_ctrlrange[2 * i], high = model_->actuator_ctrlrange[2 * i + 1];
    if (model_->actuator_ctrllimited[i]) {
      control_.emplace_back((low + high) / 2, (high - low) / 2);
    } else {
      control_.emplace_back(0, 1);
    }
  }
}

Task::~Task() { mj_deleteModel(model_); }

void Task::check() const {
  if (model_->nu < 1) throw_invalid("model must be one with actuators, got none");
  // which trees sleep is no part of a simulation's state: a plan or an episode would depend on what was
  // before
  if ((model_->opt.enableflags & mjENBL_SLEEP) != 0) {
    throw_invalid("model must be one without sleeping bodies (option flag sleep), got one with them");
  }
  if (spec_.physics_steps < 1) throw_invalid("physics_steps must be at least 1, got ", spec_.physics_steps);
  check_channels(model_, spec_.state, "state");
  check_channels(model_, spec_.observation, "observation");
  for (std::size_t i = 0; i < spec_.reward_state.size(); ++i) {
    check_channel(model_, spec_.reward_state[i], item("reward_state", i));
  }
  check_terms(spec_.reward, nstate() + static_cast<int>(spec_.reward_state.size()), "reward");
  for (std::size_t i = 0; i < spec_.reward.size(); ++i) {
    if (spec_.reward[i].terminal) throw_invalid(item("reward", i), ".terminal must be false, got true");
  }
  if (!std::isfinite(spec_.healthy_reward)) {
    throw_invalid("healthy_reward must be finite, got ", spec_.healthy_reward);
  }
  check_terms(spec_.cost, nstate(), "cost");
  if (spec_.path) check_path(*spec_.path, nstate());
  check_bounds(spec_.alive, nstate(), "alive");
  if (!std::isfinite(spec_.dying_cost)) throw_invalid("dying_cost must be finite, got ", spec_.dying_cost);
  for (std::size_t i = 0; i < spec_.healthy.size(); ++i) {
    const ChannelBound& bound = spec_.healthy[i];
    check_channel(model_, bound.channel, item("healthy", i));
    if (!(bound.bounds.low <= bound.bounds.high)) {
      throw_invalid(item("healthy", i), ".bounds must be an interval with low <= high, got low ",
                    bound.bounds.low, " and high ", bound.bounds.high);
    }
  }
  check_start(spec_.start_qpos, model_->nq, "start_qpos");
  check_start(spec_.start_qvel, model_->nv, "start_qvel");
  if (!spec_.safe_action.empty() && spec_.safe_action.size() != static_cast<std::size_t>(model_->nu)) {
    throw_invalid("safe_action must be ", model_->nu, " numbers for this model, got ",
                  spec_.safe_action.size());
  }
  for (const double a : spec_.safe_action) {
    if (!(a >= -1 && a <= 1)) throw_invalid("safe_action must be in [-1, 1], got ", a);
  }
  for (std::size_t i = 0; i < 3; ++i) check_reset(spec_.reset[i], model_->nq, item("reset", i));
}

void Task::to_control(const double* action, mjtNum* ctrl) const {
  for (std::size_t i = 0; i < control_.size(); ++i)
    ctrl[i] = control_[i].first + control_[i].second * action[i];
}

void Task::read(const std::vector<Channel>& channels, const mjData* d, double* out) const {
  for (const Channel& channel : channels) *out++ = read_channel(channel, d);
}

void Task::start(mjData* d, ResetKind kind, Draws draws) const {
  const Reset& reset = spec_.reset[static_cast<int>(kind)];
  for (mjtSize i = 0; i < model_->nq; ++i) d->qpos[i] = spec_.start_qpos[i] + draw(reset.qpos, &draws);
  for (mjtSize i = 0; i < model_->nv; ++i) d->qvel[i] = spec_.start_qvel[i] + draw(reset.qvel, &draws);
  for (const Reset::Set& set : reset.set_qpos) {
    d->qpos[set.index] = set.low + (set.high - set.low) * draws.uniform();
  }
  mj_normalizeQuat(model_, d->qpos);
}

bool Task::healthy(const mjData* d) const {
  if (!finite(d->qpos, model_->nq) || !finite(d->qvel, model_->nv)) return false;
  for (const ChannelBound& bound : spec_.healthy) {
    if (!bound.bounds.contains(read_channel(bound.channel, d))) return false;
  }
  return true;
}

void Task::refresh(mjData* d) const {
  if (reads_sensors_) {
    // all that the sensors of the position and velocity stages may read
    mj_fwdPosition(model_, d);
    mj_sensorPos(model_, d);
    mj_fwdVelocity(model_, d);
    mj_sensorVel(model_, d);
  } else if (reads_kinematics_) {
    mj_kinematics(model_, d);
  }
  if (reads_subtrees_) subtrees_->compute(d);
}

int Task::nmemory() const { return memory_->size(); }

void Task::before_step(mjData* d, const double* action) const {
  if (memory_->size() == 0) return;
  if (memory_->rates_are_derived()) refresh(d);
  memory_->before_step(d, action);
}

void Task::after_step(mjData* d) const {
  if (memory_->size() == 0) return refresh(d);
  memory_->keep_step(model_, d);
  refresh(d);
  memory_->finish_rates(d, dt());
}

void Task::remember_start(mjData* d) const { memory_->start(model_, d); }

double Task::reward(mjData* d, const double* state, const double* action) const {
  const double step = memory_->action_rate(d);
  double sum;
  if (spec_.reward_state.empty()) {
    sum = evaluate(spec_.reward, state, action, naction(), step);
  } else {
    mj_markStack(d);
    double* all = mj_stackAllocNum(d, spec_.state.size() + spec_.reward_state.size());
    std::copy_n(state, nstate(), all);
    read(spec_.reward_state, d, all + nstate());
    sum = evaluate(spec_.reward, all, action, naction(), step);
    mj_freeStack(d);
  }
  if (spec_.healthy_reward != 0 && healthy(d)) sum += spec_.healthy_reward;
  return sum;
}

void Task::cost(const float* states, const float* actions, int k, int horizon, const PathStart& start,
                double* cost) const {
  check_path_start(start);
  const std::size_t ns = static_cast<std::size_t>(nstate()), na = static_cast<std::size_t>(naction());
  std::vector<double> state(ns), action(na), before(na);
  for (int i = 0; i < k; ++i) {
    const float* s = states + static_cast<std::size_t>(i) * (static_cast<std::size_t>(horizon) + 1) * ns;
    const float* a = actions + static_cast<std::size_t>(i) * static_cast<std::size_t>(horizon) * na;
    double sum = 0;
    CostWalk walk(spec_, spec_.path ? &*spec_.path : nullptr, start);
    for (int t = 0; t <= horizon; ++t) {
      std::copy_n(s + static_cast<std::size_t>(t) * ns, ns, state.begin());
      std::copy(action.begin(), action.end(), before.begin());
      std::copy_n(a + static_cast<std::size_t>(std::min(t, horizon - 1)) * na, na, action.begin());
      if (!walk.add(state.data(), action.data(), t > 0 ? before.data() : nullptr, naction(), t == horizon,
                    &sum)) {
        break;  // dead for good
      }
    }
    cost[i] = sum;
  }
}

}  // namespace mbmf
