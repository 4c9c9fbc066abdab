#include "mbmf/control/controller.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "control/controller_options.h"
#include "control/step_log.h"
#include "mbmf/base/error.h"
#include "mbmf/control/latest_value.h"
#include "planning/planner_path.h"

namespace mbmf {

namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

nanoseconds to_ns(double seconds) { return nanoseconds(std::llround(1e9 * seconds)); }

struct StateMessage {
  std::vector<double> state;
  TimePoint when;
};

}  // namespace

struct Controller::Impl {
  std::shared_ptr<const Task> task;
  ControllerOptions options;
  std::unique_ptr<Planner> planner;
  const int naction, nstate, horizon;
  const nanoseconds period;
  double shortest = 0;  // seconds

  LatestValue<StateMessage> states;
  LatestValue<ActionMessage> actions;

  // the loop's own
  TimePoint start;
  StateMessage measured, incoming;
  bool have_state = false;
  std::vector<double> from;      // what is planned from
  std::vector<float> under_way;  // (kMaxInFlight, naction)
  Plan plan;
  PlanMemory memory, kept;      // of the plan that is made, of the last one that was sent
  std::vector<float> last;      // (horizon, naction) of the last plan that was sent
  std::int64_t last_tick = -1;  // from which it acts; -1: there is none
  std::vector<float> sent;      // (2 * kMaxInFlight, naction) by tick
  std::vector<std::int64_t> sent_tick;
  std::int64_t newest_tick = -1;
  LatestValue<std::shared_ptr<const PlannerPath>> paths{nullptr};
  std::vector<std::shared_ptr<const PlannerPath>> held_paths;  // so that the loop never frees one
  std::shared_ptr<const PlannerPath> path;                     // null: the task's
  PathStart path_start;                                        // where the next plan begins on it
  bool on_path = false;
  double rate = 0;  // candidates a second

  std::unique_ptr<StepLog> log;  // what others look at

  std::vector<std::string> refused;
  std::atomic<bool> stop{false}, active{false};
  std::atomic<int> settled{0};
  std::thread thread;
  std::mutex starting;  // one start or stop at a time; the loop never takes it
  const pid_t process = getpid();

  Impl(std::shared_ptr<const Task> task_in, std::shared_ptr<const Dynamics> dynamics,
       const PlannerOptions& planner_options, ControllerOptions options_in)
      : task(std::move(task_in)),
        options(resolve_options(std::move(options_in), *task)),
        planner(make_planner(task, std::move(dynamics), planner_options)),
        naction(task->naction()),
        nstate(task->nstate()),
        horizon(planner_options.horizon),
        period(to_ns(options.period)),
        states(StateMessage{std::vector<double>(static_cast<std::size_t>(nstate)), {}}),
        actions(ActionMessage{options.safe_action, {}, -1, StepKind::kSafe, Fault::kNoState}),
        measured{std::vector<double>(static_cast<std::size_t>(nstate)), {}},
        incoming(measured),
        from(static_cast<std::size_t>(nstate)),
        under_way(static_cast<std::size_t>(kMaxInFlight * naction)),
        memory(planner->make_memory()),
        kept(planner->make_memory()),
        last(static_cast<std::size_t>(horizon * naction)),
        sent(static_cast<std::size_t>(2 * kMaxInFlight * naction)),
        sent_tick(2 * kMaxInFlight, -1) {
    plan.actions.reserve(last.size());
    const std::vector<double> state = nominal_state(task);
    shortest = options.phase + options.margin + planner->shortest_plan(state.data());
    if (shortest > options.period) {
      throw_invalid("period must be at least ", shortest, " s on this machine (phase ", options.phase,
                    ", margin ", options.margin, ", and what the fewest candidates take), got ",
                    options.period);
    }
    log = std::make_unique<StepLog>(options.history);
    if (options.mode == PlanMode::kFitted) {
      PlanQuery query;
      query.candidates = std::min<std::int64_t>(planner->most_candidates(), 256);
      query.predict = false;
      for (int i = 0; i < 3; ++i) timed_plan(state.data(), query);
    }
  }

  // plans, and keeps the rate; false if no candidate has a finite cost
  bool timed_plan(const double* state, PlanQuery query) {
    const TimePoint begin = steady_clock::now();
    query.start = state;
    query.episode = options.episode;
    memory = kept;  // same sizes: no allocation
    if (!planner->try_plan(query, &memory, &plan)) return false;
    const double seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
    const double now = static_cast<double>(plan.candidates_done) / std::max(seconds, 1e-9);
    rate = rate == 0 ? now : rate + (now - rate) / 8;
    return true;
  }

  // whether all numbers are finite in float32
  static bool usable(const std::vector<double>& state) {
    return std::all_of(state.begin(), state.end(),
                       [](double x) { return std::abs(x) <= std::numeric_limits<float>::max(); });
  }

  TimePoint tick_time(std::int64_t tick) const { return start + tick * period; }
  std::int64_t tick_at(TimePoint when) const {
    const auto since = (when - start).count(), length = period.count();
    return since >= 0 ? since / length : -1 - (-1 - since) / length;
  }

  // the latest state, and what is wrong with it
  Fault take_state(TimePoint now) {
    if (options.read) {
      // what it began to write and then took back does not count; what it leaves alone is as it was
      incoming = measured;
      if (options.read(incoming.state.data(), &incoming.when)) {
        std::swap(measured, incoming);
        have_state = true;
      }
    } else if (states.update()) {
      measured = states.front();  // same sizes: no allocation
      have_state = true;
    }
    if (!have_state) return Fault::kNoState;
    if (!usable(measured.state)) return Fault::kBadState;
    // differences of times that are anything would overflow; now and the limit are small
    const nanoseconds limit = to_ns(options.stale_after);
    if (measured.when > now + limit) return Fault::kFutureState;
    return measured.when < now - limit ? Fault::kStaleState : Fault::kNone;
  }

  // where the model expects the robot to be when an action of tick `tick` acts; false if that is too far from
  // the state
  bool roll_forward(std::int64_t tick) {
    std::copy(measured.state.begin(), measured.state.end(), from.begin());
    if (!options.compensate) return true;
    const nanoseconds dt = to_ns(task->dt());
    const TimePoint acts = tick_time(tick) + to_ns(options.actuation_delay);
    const auto count = std::max<std::int64_t>((acts - measured.when + dt / 2) / dt, 0);
    if (count > kMaxInFlight) return false;
    for (std::int64_t i = 0; i < count; ++i) {
      // the action that acts in the middle of the step
      const std::int64_t at = tick_at(measured.when + i * dt + dt / 2 - to_ns(options.actuation_delay));
      sent_at(at, under_way.data() + i * naction);
    }
    if (count > 0) planner->roll_forward(from.data(), under_way.data(), static_cast<int>(count), from.data());
    return true;
  }

  // the action that acts at a tick: the last one sent for it or before it
  void sent_at(std::int64_t tick, float* action) const {
    for (std::int64_t t = std::min(tick, newest_tick); t >= 0 && t > tick - 2 * kMaxInFlight; --t) {
      const std::size_t at = static_cast<std::size_t>(t % (2 * kMaxInFlight));
      if (sent_tick[at] != t) continue;
      std::copy_n(sent.begin() + static_cast<std::ptrdiff_t>(at) * naction, naction, action);
      return;
    }
    std::copy(options.safe_action.begin(), options.safe_action.end(), action);
  }

  // a path begins where the robot is first seen, or is when the path is set
  void begin_path() {
    if (paths.update()) {
      path = paths.front();
      on_path = false;
    }
    if (on_path || !task->spec().path.has_value()) return;
    const PathCost& now = path ? path->cost() : *task->spec().path;
    path_start = {};
    if (now.relative) {
      path_start.origin[0] = measured.state[static_cast<std::size_t>(now.x)];
      path_start.origin[1] = measured.state[static_cast<std::size_t>(now.y)];
    }
    on_path = true;
  }

  PlanQuery query_at(std::int64_t tick) {
    PlanQuery query;
    query.step = static_cast<std::uint64_t>(tick);
    query.predict = false;
    query.at = path_start;
    query.path = path;
    if (options.mode == PlanMode::kAnytime) query.deadline = tick_time(tick) - to_ns(options.margin);
    if (options.mode == PlanMode::kFitted) {
      query.candidates = std::clamp(static_cast<std::int64_t>(options.share * options.period * rate),
                                    std::int64_t{1}, planner->most_candidates());
    }
    // what is older than a plan is long says nothing
    kept.filled = last_tick >= 0 && tick > last_tick && tick - last_tick < horizon;
    return query;
  }

  void send(std::int64_t tick, StepKind kind, Fault fault, const float* action) {
    ActionMessage& message = actions.back();
    for (int i = 0; i < naction; ++i) {
      message.action[static_cast<std::size_t>(i)] = action != nullptr
                                                        ? static_cast<double>(action[i])
                                                        : options.safe_action[static_cast<std::size_t>(i)];
    }
    message.from = tick_time(tick);
    message.step = tick;
    message.kind = kind;
    message.fault = fault;
    const std::size_t at = static_cast<std::size_t>(tick % (2 * kMaxInFlight));
    for (int i = 0; i < naction; ++i) {
      sent[at * naction + i] = static_cast<float>(message.action[static_cast<std::size_t>(i)]);
    }
    sent_tick[at] = tick;
    newest_tick = std::max(newest_tick, tick);
    if (options.send) options.send(message);
    actions.publish();
  }

  // one step after a tick: state, plan, action
  void step(std::int64_t tick, TimePoint woke) {
    StepRecord record;
    record.step = tick;
    record.wake_ns = (woke - tick_time(tick) - to_ns(options.phase)).count();
    record.fault = take_state(woke);
    if (have_state) {  // for any time that somebody calls now
      const nanoseconds most = to_ns(kMaxSeconds);
      record.age_ns = (woke - std::clamp(measured.when, woke - most, woke + most)).count();
    }
    if (record.fault == Fault::kNone) {
      begin_path();
      record.segment = path_start.segment;
      if (!roll_forward(tick + 1)) {
        record.fault = Fault::kStaleState;
        // rolled forward a state may end beyond float32
      } else if (usable(from) && timed_plan(from.data(), query_at(tick + 1))) {
        record.candidates = plan.candidates_done;
      } else {
        record.fault = Fault::kNoPlan;
      }
    }
    const TimePoint now = steady_clock::now();
    if (record.fault == Fault::kNone && now > tick_time(tick + 1)) record.fault = Fault::kLatePlan;

    if (record.fault == Fault::kNone) {
      std::copy(plan.actions.begin(), plan.actions.end(), last.begin());
      last_tick = tick + 1;
      std::swap(kept, memory);
      path_start.segment = plan.segment;
      record.kind = StepKind::kPlanned;
      send(tick + 1, record.kind, record.fault, last.data());
    } else {
      // what the last plan has for the period that this acts in
      const std::int64_t acts = std::max(tick + 1, tick_at(now)), ahead = acts - last_tick;
      const bool holds = last_tick >= 0 && ahead <= options.hold_steps && ahead < horizon;
      record.kind = holds ? StepKind::kHeld : StepKind::kSafe;
      send(acts, record.kind, record.fault, holds ? last.data() + ahead * naction : nullptr);
    }
    record.compute_ns = (steady_clock::now() - woke).count();
    log->add(record, woke);
  }

  void loop() {
    settled.wait(0);  // until the thread has its priority
    for (std::int64_t tick = 0;; ++tick) {
      if (!wait_until(tick_time(tick) + to_ns(options.phase), to_ns(options.spin), stop)) break;
      const TimePoint woke = steady_clock::now();
      // ticks that have passed are not made up for
      const std::int64_t present = tick_at(woke - to_ns(options.phase));
      if (present > tick) {
        log->skip(present - tick);
        tick = present;
      }
      step(tick, woke);
    }
  }
};

Controller::Controller(std::shared_ptr<const Task> task, std::shared_ptr<const Dynamics> dynamics,
                       const PlannerOptions& planner, ControllerOptions options)
    : impl_(std::make_unique<Impl>(std::move(task), std::move(dynamics), planner, std::move(options))) {}

Controller::~Controller() { stop(); }

const Task& Controller::task() const { return *impl_->task; }
const ControllerOptions& Controller::options() const { return impl_->options; }
const PlannerOptions& Controller::planner_options() const { return impl_->planner->options(); }
double Controller::shortest_period() const { return impl_->shortest; }
bool Controller::running() const { return impl_->active.load(); }
const std::vector<std::string>& Controller::notes() const { return impl_->refused; }

void Controller::start(TimePoint first) {
  Impl& m = *impl_;
  if (getpid() != m.process) {
    throw Error("a controller must be used in the process that made it, got a call after a fork");
  }
  const std::lock_guard lock(m.starting);
  if (m.active.load()) throw Error("the controller runs already");
  check_first_tick(first);
  m.log->clear();
  m.start = first;
  if (m.newest_tick >= 0) {  // an action of an earlier run is not one of this
    ActionMessage& message = m.actions.back();
    message = {m.options.safe_action, {}, -1, StepKind::kSafe, Fault::kNoState};
    m.actions.publish();
  }
  m.last_tick = m.newest_tick = -1;
  std::fill(m.sent_tick.begin(), m.sent_tick.end(), -1);
  m.have_state = m.on_path = false;
  m.stop.store(false);
  m.settled.store(0);
  m.thread = std::thread([&m] { m.loop(); });
  m.active.store(true);
  std::vector<std::thread::native_handle_type> threads = m.planner->thread_handles();
  threads.push_back(m.thread.native_handle());
  m.refused = apply_settings(m.options.thread, threads);
  m.settled.store(1);
  m.settled.notify_all();
}

void Controller::stop() {
  if (getpid() != impl_->process) {  // the loop goes on where it was started, and is not here
    if (impl_->thread.joinable()) impl_->thread.detach();
    impl_->active.store(false);
    return;
  }
  const std::lock_guard lock(impl_->starting);
  if (!impl_->active.load()) return;
  impl_->stop.store(true, std::memory_order_release);
  impl_->thread.join();
  impl_->active.store(false);
}

void Controller::put_state(const double* state, TimePoint when) {
  StateMessage& message = impl_->states.back();
  std::copy_n(state, impl_->nstate, message.state.begin());
  message.when = when;
  impl_->states.publish();
}

void Controller::set_path(const PathCost& path) {
  Impl& m = *impl_;
  // what nobody else has any more is freed here, not in the loop
  std::erase_if(m.held_paths, [](const auto& held) { return held.use_count() == 1; });
  m.held_paths.push_back(make_planner_path(*m.task, path));
  m.paths.back() = m.held_paths.back();
  m.paths.publish();
}

bool Controller::get_action(ActionMessage* message) {
  const bool fresh = impl_->actions.update();
  *message = impl_->actions.front();
  return fresh;
}

ControllerStatistics Controller::statistics() const { return impl_->log->statistics(); }
StepRecord Controller::status() const { return impl_->log->last(); }

std::vector<StepRecord> Controller::records() const {
  if (running()) throw Error("the records must be read after stop, got a running controller");
  return impl_->log->records();
}

}  // namespace mbmf
