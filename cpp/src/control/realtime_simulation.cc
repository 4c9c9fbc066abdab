#include "mbmf/control/realtime_simulation.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <exception>
#include <thread>
#include <utility>

#include "control/controller_options.h"
#include "mbmf/base/error.h"
#include "mbmf/control/latest_value.h"
#include "mbmf/physics/simulator.h"

namespace mbmf {

struct RealtimeSimulation::Impl {
  std::shared_ptr<const Task> task;
  RealtimeSimulationOptions options;
  Simulator simulator;
  Record record;
  LatestValue<std::vector<double>> rows;
  std::atomic<std::int64_t> done{0};
  std::atomic<bool> stop{false}, active{false};
  bool started = false;
  std::exception_ptr failure;  // what ended the loop, once it is not active
  std::thread thread;

  Impl(std::shared_ptr<const Task> task_in, const RealtimeSimulationOptions& o)
      : task(std::move(task_in)),
        options(o),
        simulator(task, 1, 1, o.seed),
        rows(std::vector<double>(static_cast<std::size_t>(simulator.state_size()))) {
    simulator.get_state(nullptr, 1, rows.back().data());
    rows.publish();
    const auto n = static_cast<std::size_t>(o.steps);
    const auto ns = static_cast<std::size_t>(task->nstate()), na = static_cast<std::size_t>(task->naction());
    record.states.resize(n * ns);
    record.next_states.resize(n * ns);
    record.observations.resize(n * static_cast<std::size_t>(task->nobservation()));
    record.next_observations.resize(record.observations.size());
    record.actions.resize(n * na);
    record.rewards.resize(n);
    record.terminated.resize(n);
    record.diverged.resize(n);
    record.first.resize(n);
    record.fresh.resize(n);
    record.action_step.resize(n);
  }

  void run(Controller* controller, TimePoint first) {
    try {
      loop(controller, first);
    } catch (...) {
      failure = std::current_exception();
    }
    active.store(false, std::memory_order_release);
  }

  void loop(Controller* controller, TimePoint first) {
    const auto period = std::chrono::nanoseconds(std::llround(1e9 * task->dt()));
    const std::size_t ns = static_cast<std::size_t>(task->nstate()),
                      na = static_cast<std::size_t>(task->naction());
    const std::size_t no = static_cast<std::size_t>(task->nobservation());
    ActionMessage action;
    std::uint64_t episode = options.first_episode;
    int in_episode = 0;
    simulator.start(nullptr, 1, ResetKind::kControl, &episode);
    TimePoint tick = first;
    for (std::size_t k = 0; k < static_cast<std::size_t>(options.steps); ++k, tick += period) {
      if (!wait_until(tick, std::chrono::nanoseconds(0), stop)) break;
      // a robot does not wait, but a simulation that was held up has to: its time goes on by whole periods
      const auto behind = (std::chrono::steady_clock::now() - tick) / period;
      if (behind > 0) {
        tick += behind * period;
        ++record.overruns;
      }
      const double* state = simulator.states();
      controller->put_state(state, tick);
      record.fresh[k] = controller->get_action(&action);
      record.action_step[k] = action.step;
      record.first[k] = in_episode == 0;
      std::copy_n(state, ns, record.states.data() + k * ns);
      std::copy_n(simulator.observations(), no, record.observations.data() + k * no);
      std::copy_n(action.action.data(), na, record.actions.data() + k * na);

      simulator.get_state(nullptr, 1, rows.back().data());
      rows.publish();
      simulator.step(nullptr, 1, action.action.data());
      ++in_episode;
      std::copy_n(simulator.states(), ns, record.next_states.data() + k * ns);
      std::copy_n(simulator.observations(), no, record.next_observations.data() + k * no);
      record.rewards[k] = simulator.rewards()[0];
      record.terminated[k] = simulator.terminated()[0];
      record.diverged[k] = simulator.diverged()[0];
      if (simulator.terminated()[0] || in_episode >= options.episode_steps) {
        ++episode;
        in_episode = 0;
        simulator.start(nullptr, 1, ResetKind::kControl, &episode);
      }
      done.store(static_cast<std::int64_t>(k) + 1, std::memory_order_release);
    }
  }
};

RealtimeSimulation::RealtimeSimulation(std::shared_ptr<const Task> task,
                                       const RealtimeSimulationOptions& options) {
  if (options.steps < 1 || options.steps > 100'000'000) {
    throw_invalid("steps must be in [1, 100000000], got ", options.steps);
  }
  if (options.episode_steps < 1)
    throw_invalid("episode_steps must be at least 1, got ", options.episode_steps);
  check_real_time(*task);
  impl_ = std::make_unique<Impl>(std::move(task), options);
}

RealtimeSimulation::~RealtimeSimulation() { stop(); }

void RealtimeSimulation::start(Controller* controller, TimePoint first) {
  Impl& m = *impl_;
  if (m.started) throw Error("the simulation was started already");
  if (controller->task().nstate() != m.task->nstate() || controller->task().naction() != m.task->naction()) {
    throw_invalid("controller must be one of a task with ", m.task->nstate(), " states and ",
                  m.task->naction(), " actions, got ", controller->task().nstate(), " and ",
                  controller->task().naction());
  }
  check_first_tick(first);
  m.started = true;
  m.active.store(true);
  m.thread = std::thread([&m, controller, first] { m.run(controller, first); });
  ThreadSettings settings;
  const int planning = controller->options().thread.priority;
  settings.priority = planning > 0 ? std::min(planning + 1, 99) : 0;
  apply_settings(settings, {m.thread.native_handle()});
}

const Task& RealtimeSimulation::task() const { return *impl_->task; }
bool RealtimeSimulation::finished() const { return impl_->started && !impl_->active.load(); }
std::int64_t RealtimeSimulation::done() const { return impl_->done.load(std::memory_order_acquire); }

int RealtimeSimulation::state_size() const { return impl_->simulator.state_size(); }

void RealtimeSimulation::latest(double* row) {
  impl_->rows.update();
  std::copy(impl_->rows.front().begin(), impl_->rows.front().end(), row);
}

void RealtimeSimulation::stop() {
  impl_->stop.store(true);
  if (impl_->thread.joinable()) impl_->thread.join();
}

const RealtimeSimulation::Record& RealtimeSimulation::record() const {
  Impl& m = *impl_;
  if (!finished()) throw Error("the record must be read when the simulation is finished");
  if (m.failure) std::rethrow_exception(m.failure);
  const auto n = static_cast<std::size_t>(m.done.load());
  m.record.states.resize(n * static_cast<std::size_t>(m.task->nstate()));
  m.record.next_states.resize(n * static_cast<std::size_t>(m.task->nstate()));
  m.record.observations.resize(n * static_cast<std::size_t>(m.task->nobservation()));
  m.record.next_observations.resize(m.record.observations.size());
  m.record.actions.resize(n * static_cast<std::size_t>(m.task->naction()));
  m.record.rewards.resize(n);
  m.record.terminated.resize(n);
  m.record.diverged.resize(n);
  m.record.first.resize(n);
  m.record.fresh.resize(n);
  m.record.action_step.resize(n);
  return m.record;
}

}  // namespace mbmf
