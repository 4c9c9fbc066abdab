// Candidates through MuJoCo itself, in float64. A start is an integration-state row, since a task's state
// need not say all that MuJoCo must know.

#include <mujoco/mjbatch.h>
#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "mbmf/base/error.h"
#include "model/packed_mlp.h"
#include "physics/mujoco_batch.h"
#include "physics/stepper.h"
#include "planning/roller.h"
#include "task/cost_walk.h"

namespace mbmf {

namespace {

class SimulatorRoller : public Roller {
 public:
  SimulatorRoller(std::shared_ptr<const Task> task, const PlannerOptions& options)
      : task_(std::move(task)),
        path_(task_->spec().path ? std::make_shared<const PlannerPath>(*task_->spec().path) : nullptr),
        horizon_(options.horizon),
        table_(select_kernels()),
        value_(options.value) {
    threads_.push_back(make_thread(*task_));
    start_size_ = mjb_nstate(threads_.front().batch.get());
  }

  bool starts_from_row() const override { return true; }
  int start_size() const override { return start_size_; }
  const char* cause() const override { return "every candidate's simulation diverges from the start"; }
  Grain grain(std::int64_t) const override { return {1, 1, 1}; }

  void reserve(int nslot, int njob, int nthread) override {
    // all or nothing: the planner goes on where memory is lacking
    std::vector<Start> starts(static_cast<std::size_t>(nslot) * njob);
    for (Start& s : starts) s.row.resize(static_cast<std::size_t>(start_size_));
    threads_.reserve(static_cast<std::size_t>(nthread));
    while (threads_.size() < static_cast<std::size_t>(nthread)) threads_.push_back(make_thread(*task_));
    starts_ = std::move(starts);
    njob_ = njob;
  }

  void begin(int slot, int job, const PlanQuery& query) override {
    Start& s = start(slot, job);
    for (int i = 0; i < start_size_; ++i) {
      if (!std::isfinite(query.start[i])) {
        throw_invalid("start must be finite, got ", query.start[i], " at entry ", i);
      }
      s.row[static_cast<std::size_t>(i)] = query.start[i];
    }
    s.at = query.at;
    s.on = path_of(query, path_);
  }

  void roll(int slot, int job, const Proposal& proposal, std::int64_t first, int count, int thread,
            double* costs) override {
    Thread& t = threads_[static_cast<std::size_t>(thread)];
    const int size = horizon_ * task_->naction();
    for (int k = 0; k < count; ++k) {
      table_.propose(&proposal, first + k, 1, t.rows.data(), table_.tile, t.colour.data());
      for (int i = 0; i < size; ++i) {
        t.actions[static_cast<std::size_t>(i)] = t.rows.data()[static_cast<std::int64_t>(i) * table_.tile];
      }
      costs[k] = run(t, start(slot, job), t.actions.data(), nullptr).cost;
    }
  }

  Followed follow(int slot, int job, const PlanQuery&, const float* actions) override {
    const Call call = run(threads_.front(), start(slot, job), actions, nullptr);
    return {call.cost, call.moved, call.segment};
  }

  void predict(int slot, int job, const float* actions, float* states) override {
    // what a simulation that diverges does not reach
    std::fill_n(states, static_cast<std::size_t>(horizon_ + 1) * task_->nstate(),
                std::numeric_limits<float>::quiet_NaN());
    run(threads_.front(), start(slot, job), actions, states);
  }

 private:
  struct Start {
    std::vector<double> row;
    PathStart at;
    std::shared_ptr<const PlannerPath> on;
  };
  struct Thread {
    Batch batch;
    std::vector<double> state, action, before;
    AlignedFloats rows, colour;
    std::vector<float> actions;
    std::optional<ValueEvaluator> value;  // where there is one
  };
  // One sequence in MuJoCo. Runs inside mjb_apply: holds no destructor.
  struct Call {
    const SimulatorRoller* roller;
    const Start* start;
    const float* actions;
    double *state, *action, *before;
    float* states;  // (horizon + 1, nstate) or null
    double cost;
    bool moved;
    int segment;
    bool dead;
  };

  Thread make_thread(const Task& task) const {
    const auto size = static_cast<std::size_t>(horizon_) * task.naction();
    return {make_batch(task.model(), 1, 1),
            std::vector<double>(static_cast<std::size_t>(task.nstate())),
            std::vector<double>(static_cast<std::size_t>(task.naction())),
            std::vector<double>(static_cast<std::size_t>(task.naction())),
            AlignedFloats(size * static_cast<std::size_t>(table_.tile)),
            AlignedFloats(static_cast<std::size_t>(horizon_) * table_.tile),
            std::vector<float>(size),
            value_ ? std::make_optional<ValueEvaluator>(*value_) : std::nullopt};
  }

  // a diverged simulation, or one in which MuJoCo raises an error, has no finite cost
  Call run(Thread& thread, const Start& start, const float* actions, float* states) const {
    Call call{
        this,  &start, actions, thread.state.data(), thread.action.data(), thread.before.data(), states, 0,
        false, 0,      false};
    if (apply(thread.batch, nullptr, 0, run_one, &call, 0) > 0) {
      call.cost = std::numeric_limits<double>::infinity();
    }
    if (value_ != nullptr && !call.dead && std::isfinite(call.cost)) {
      call.cost -= thread.value->evaluate(thread.state.data());
    }
    return call;
  }

  static void run_one(const mjModel*, mjData* d, int, void* arg) {
    Call& call = *static_cast<Call*>(arg);
    const SimulatorRoller& self = *call.roller;
    const Task& task = *self.task_;
    const int ns = task.nstate(), na = task.naction();
    mj_setState(task.model(), d, call.start->row.data(), mjSTATE_INTEGRATION);
    task.refresh(d);
    const PathCost* const path = call.start->on ? &call.start->on->cost() : nullptr;
    CostWalk walk(task.spec(), path, call.start->at);
    Failure failure;
    bool dead = false;
    for (int t = 0; t <= self.horizon_; ++t) {
      task.read(task.spec().state, d, call.state);
      if (call.states != nullptr) {
        for (int i = 0; i < ns; ++i) call.states[t * ns + i] = static_cast<float>(call.state[i]);
      }
      if (t == 0 && path != nullptr) {
        // by the strict rule, which looks at the robot alone
        call.segment = next_segment(*path, call.start->at, call.state, false);
      }
      std::copy_n(call.action, na, call.before);
      if (t < self.horizon_) {
        for (int i = 0; i < na; ++i) call.action[i] = static_cast<double>(call.actions[t * na + i]);
      }
      dead = dead || !walk.add(call.state, call.action, t > 0 ? call.before : nullptr, na, t == self.horizon_,
                               &call.cost);
      call.moved = walk.moved();
      if (dead && call.states == nullptr) break;
      if (t < self.horizon_ && !advance(task, d, call.action, &failure)) {
        call.cost = std::numeric_limits<double>::infinity();
        break;
      }
    }
    call.dead = dead;
    if (path != nullptr && !path->strict) {
      call.segment = call.start->at.segment + (call.moved ? 1 : 0);
    }
  }

  Start& start(int slot, int job) { return starts_[static_cast<std::size_t>(slot) * njob_ + job]; }

  std::shared_ptr<const Task> task_;
  std::shared_ptr<const PlannerPath> path_;
  int horizon_;
  int start_size_ = 0;
  const kernel::Table& table_;
  std::shared_ptr<const Value> value_;  // or null
  int njob_ = 0;
  std::vector<Start> starts_;  // (nslot, njob)
  std::vector<Thread> threads_;
};

}  // namespace

std::unique_ptr<Roller> make_simulator_roller(std::shared_ptr<const Task> task,
                                              const PlannerOptions& options) {
  check_sizes(options, *task);
  return std::make_unique<SimulatorRoller>(std::move(task), options);
}

}  // namespace mbmf
