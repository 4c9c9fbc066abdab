#include "mbmf/task/task.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "mbmf/base/error.h"
#include "mbmf/task/known_states.h"
#include "physics/subtree_motion.h"
#include "task/channels.h"
#include "task/cost_walk.h"
#include "task/model_loader.h"
#include "task/step_memory.h"

namespace mbmf {

namespace {

std::string item(const char* list, std::size_t i) { return list + ("[" + std::to_string(i) + "]"); }

void check_channels(const mjModel* m, const std::vector<Channel>& channels, const TaskNumbers& numbers,
                    const char* what) {
  if (channels.empty()) throw_invalid(what, " must be one or more channels, got none");
  for (std::size_t i = 0; i < channels.size(); ++i) check_channel(m, channels[i], numbers, item(what, i));
}

void check_start(const std::vector<double>& start, mjtSize size, const char* what) {
  if (start.size() != static_cast<std::size_t>(size)) {
    throw_invalid(what, " must be ", size, " values for this model, got ", start.size());
  }
  for (double x : start) {
    if (!std::isfinite(x)) throw_invalid(what, " must be finite, got ", x);
  }
}

// whether the sensor at an address reads accelerations or forces
bool is_late(const mjModel* m, int address) {
  for (mjtSize i = 0; i < m->nsensor; ++i) {
    if (m->sensor_adr[i] <= address && address < m->sensor_adr[i] + m->sensor_dim[i]) {
      return m->sensor_needstage[i] == mjSTAGE_ACC;
    }
  }
  return false;
}

// mj_forward, which leaves the integration state as it is
void forward(const mjModel* m, mjData* d) {
  mj_markStack(d);
  mjtNum* warmstart = mj_stackAllocNum(d, static_cast<std::size_t>(m->nv));
  std::copy_n(d->qacc_warmstart, m->nv, warmstart);
  mj_forward(m, d);
  std::copy_n(warmstart, m->nv, d->qacc_warmstart);
  mj_freeStack(d);
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
  moves_ = !spec_.moves.empty() || !spec_.follows.empty();
  for (const Goal& goal : spec_.goals) ngoal_ += goal.size();
  for (const Reference& reference : spec_.references) nreference_ += reference.columns;
  try {
    check();
  } catch (...) {
    mj_deleteModel(model_);
    throw;
  }
  // what a simulation keeps
  memory_ = std::make_unique<StepMemory>(ngoal_, nreference_);
  for (std::vector<Channel>* channels : {&spec_.state, &spec_.observation, &spec_.reward_state}) {
    for (Channel& channel : *channels) memory_->add(&channel);
  }
  for (ChannelBound& bound : spec_.healthy) memory_->add(&bound.channel);
  if (reads_action_rate(spec_.reward)) memory_->add_actions(naction());
  model_->nuserdata = std::max(model_->nuserdata, static_cast<mjtSize>(memory_->size()));
  observes_state_ = spec_.state == spec_.observation;
  known_ = std::make_unique<KnownStates>(spec_, dt());

  // what refresh must compute
  std::set<int> bodies;
  reads_kinematics_ = reads_velocities_ = reads_sensors_ = reads_forces_ = false;
  const auto needs = [this, &bodies](const Channel& channel) {
    if (StepMemory::left_by_step(channel)) return;
    switch (channel.source) {
      case Source::kTime:
      case Source::kQpos:
      case Source::kQvel:
      case Source::kAct:
      case Source::kContactForce:
      case Source::kGoal:
      case Source::kReference:
        break;
      case Source::kSubtreeCom:
      case Source::kSubtreeLinvel:
        bodies.insert(channel.address / 3);
        break;
      case Source::kBodyPos:
      case Source::kBodyRotation:
      case Source::kSitePos:
      case Source::kSiteRotation:
      case Source::kBodyEuler:
      case Source::kBodyQuat:
      case Source::kGeomDistance:
        reads_kinematics_ = true;
        break;
      case Source::kTendonLength:
      case Source::kTendonVelocity:
      case Source::kBodyVelocity:
      case Source::kSiteVelocity:
        reads_velocities_ = true;
        break;
      case Source::kSensor:
        (is_late(model_, channel.address) ? reads_forces_ : reads_sensors_) = true;
        break;
      case Source::kActuatorForce:
      case Source::kQacc:
        reads_forces_ = true;
        break;
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
  if (naction() < 1) throw_invalid("model must be one with actuators, got none");
  // which trees sleep is no part of a simulation's state: plans would depend on what was before
  if ((model_->opt.enableflags & mjENBL_SLEEP) != 0) {
    throw_invalid("model must be one without sleeping bodies (option flag sleep), got one with them");
  }
  if (spec_.physics_steps < 1) throw_invalid("physics_steps must be at least 1, got ", spec_.physics_steps);
  const auto check_list = [](const auto& list, const char* name, const auto& check_one) {
    for (std::size_t i = 0; i < list.size(); ++i) check_one(list[i], item(name, i));
  };
  check_list(spec_.goals, "goals", check_goal);
  check_list(spec_.references, "references", check_reference);
  check_list(spec_.follows, "follows", [this](const MocapFollow& follow, const std::string& where) {
    check_follow(follow, spec_.references, model_, where);
  });
  check_list(spec_.moves, "moves",
             [this](const MocapMove& move, const std::string& where) { check_move(move, model_, where); });
  const TaskNumbers numbers{ngoal_, nreference_};
  check_channels(model_, spec_.state, numbers, "state");
  check_channels(model_, spec_.observation, numbers, "observation");
  const auto is_reference = [](const Channel& channel) { return channel.source == Source::kReference; };
  if (std::any_of(spec_.state.begin(), spec_.state.end(), is_reference) &&
      std::none_of(spec_.state.begin(), spec_.state.end(), is_plain_time)) {
    throw_invalid("state must have the source time where it has references, got none");
  }
  for (std::size_t i = 0; i < spec_.reward_state.size(); ++i) {
    check_channel(model_, spec_.reward_state[i], numbers, item("reward_state", i));
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
    check_channel(model_, bound.channel, numbers, item("healthy", i));
    if (!(bound.bounds.low <= bound.bounds.high)) {
      throw_invalid(item("healthy", i), ".bounds must be an interval with low <= high, got low ",
                    bound.bounds.low, " and high ", bound.bounds.high);
    }
  }
  if (spec_.keyframe < -1 || spec_.keyframe >= model_->nkey) {
    throw_invalid("keyframe must be in [0, ", model_->nkey, "), or -1, got ", spec_.keyframe);
  }
  check_start(spec_.start_qpos, model_->nq, "start_qpos");
  check_start(spec_.start_qvel, model_->nv, "start_qvel");
  if (!spec_.start_mocap.empty()) check_start(spec_.start_mocap, 7 * model_->nmocap, "start_mocap");
  if (!spec_.safe_action.empty() && spec_.safe_action.size() != static_cast<std::size_t>(naction())) {
    throw_invalid("safe_action must be ", naction(), " numbers for this model, got ",
                  spec_.safe_action.size());
  }
  for (const double a : spec_.safe_action) {
    if (!(a >= -1 && a <= 1)) throw_invalid("safe_action must be in [-1, 1], got ", a);
  }
  for (std::size_t i = 0; i < 3; ++i) check_reset(spec_.reset[i], model_, item("reset", i));
}

void Task::to_control(const double* action, mjtNum* ctrl) const {
  for (std::size_t i = 0; i < control_.size(); ++i)
    ctrl[i] = control_[i].first + control_[i].second * action[i];
}

void Task::read(const std::vector<Channel>& channels, const mjData* d, double* out) const {
  read_channels(channels, model_, d, out);
}

void Task::start(mjData* d, ResetKind kind, Draws draws) const {
  const Reset& reset = spec_.reset[static_cast<int>(kind)];
  const auto noise_of = [](const std::vector<Reset::Own>& owns, mjtSize i, const Noise& other) {
    for (const Reset::Own& own : owns) {
      if (own.index == i) return own.noise;
    }
    return other;
  };
  for (mjtSize i = 0; i < model_->nq; ++i) {
    d->qpos[i] = spec_.start_qpos[i] + draw(noise_of(reset.own_qpos, i, reset.qpos), &draws);
  }
  for (mjtSize i = 0; i < model_->nv; ++i) {
    d->qvel[i] = spec_.start_qvel[i] + draw(noise_of(reset.own_qvel, i, reset.qvel), &draws);
  }
  const auto drawn = [&draws](const Reset::Set& set) {
    return set.low + (set.high - set.low) * draws.uniform();
  };
  for (const Reset::Set& set : reset.set_qpos) d->qpos[set.index] = drawn(set);
  for (const Reset::Own& turn : reset.turns) turn_quaternion(d->qpos + turn.index, turn.noise, &draws);
  mj_normalizeQuat(model_, d->qpos);

  for (std::size_t i = 0; 7 * i < spec_.start_mocap.size(); ++i) {
    std::copy_n(spec_.start_mocap.data() + 7 * i, 3, d->mocap_pos + 3 * i);
    std::copy_n(spec_.start_mocap.data() + 7 * i + 3, 4, d->mocap_quat + 4 * i);
    mju_normalize4(d->mocap_quat + 4 * i);
  }
  for (const Reset::Set& set : reset.set_mocap) d->mocap_pos[set.index] = drawn(set);
  for (const Reset::Own& turn : reset.mocap_turns) {
    turn_quaternion(d->mocap_quat + 4 * turn.index, turn.noise, &draws);
  }
  for (const Reset::Set& set : reset.set_time) d->time = drawn(set);
  mjtNum* goals = d->userdata;
  for (const Goal& goal : spec_.goals) {
    draw_goal(goal, &draws, goals);
    goals += goal.size();
  }
}

void Task::follow(mjData* d) const {
  mjtNum* row = d->userdata + ngoal_;
  for (std::size_t i = 0; i < spec_.references.size(); ++i) {
    const Reference& reference = spec_.references[i];
    reference.at(d->time, row);
    for (const MocapFollow& follow : spec_.follows) {
      if (follow.reference != static_cast<int>(i)) continue;
      if (follow.position >= 0) std::copy_n(row + follow.position, 3, d->mocap_pos + 3 * follow.body);
      if (follow.quaternion >= 0) std::copy_n(row + follow.quaternion, 4, d->mocap_quat + 4 * follow.body);
    }
    row += reference.columns;
  }
}

void Task::move_bodies(mjData* d, const double* action) const {
  for (std::size_t i = 0; i < spec_.moves.size(); ++i) {
    move_mocap(spec_.moves[i], action[static_cast<std::size_t>(model_->nu) + i], model_->opt.timestep, d);
  }
  if (!spec_.follows.empty()) follow(d);
}

bool Task::healthy(const mjData* d) const {
  if (!finite(d->qpos, model_->nq) || !finite(d->qvel, model_->nv)) return false;
  for (const ChannelBound& bound : spec_.healthy) {
    if (!bound.bounds.contains(read_channel(bound.channel, model_, d))) return false;
  }
  return true;
}

void Task::refresh(mjData* d) const {
  if (nreference_ > 0) follow(d);
  // a step, maybe another simulation's, leaves its energies marked as computed
  d->flg_energypos = d->flg_energyvel = 0;
  if (reads_forces_) {
    forward(model_, d);
  } else if (reads_sensors_ || reads_velocities_) {
    // all that the sensors of the position and velocity stages may read
    mj_fwdPosition(model_, d);
    if (reads_sensors_) mj_sensorPos(model_, d);
    mj_fwdVelocity(model_, d);
    if (reads_sensors_) mj_sensorVel(model_, d);
  } else if (reads_kinematics_) {
    mj_kinematics(model_, d);
  }
  if (reads_subtrees_) subtrees_->compute(d);
}

int Task::nmemory() const { return memory_->size(); }

void Task::before_step(mjData* d, const double* action) const {
  if (!memory_->is_of_steps()) return;
  if (memory_->rates_are_derived()) refresh(d);
  memory_->before_step(model_, d, action);
}

void Task::after_step(mjData* d) const {
  if (!memory_->is_of_steps()) return refresh(d);
  memory_->keep_step(model_, d);
  refresh(d);
  memory_->finish_rates(model_, d, dt());
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
