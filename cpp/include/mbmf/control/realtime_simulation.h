// A robot for a controller without a robot: a MuJoCo simulation of the task that steps in real time, in a
// thread of its own.
//
// At tick k it hands the controller its state, takes the latest action, and has until tick k + 1 to compute
// what comes of it. It waits for nobody: where no new action has come, the last one acts on. An episode that
// ends (by its length, or outside the healthy bounds) is followed by the next. Episode e starts as
// collect_mpc starts it.

#ifndef MBMF_CONTROL_REALTIME_SIMULATION_H_
#define MBMF_CONTROL_REALTIME_SIMULATION_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "mbmf/control/controller.h"
#include "mbmf/control/realtime.h"
#include "mbmf/task/task.h"

namespace mbmf {

struct RealtimeSimulationOptions {
  std::int64_t steps = 1000;  // control steps of the task, after which it ends
  int episode_steps = 1000;   // of one episode, at most
  std::uint64_t seed = 0;     // of the start states
  std::uint64_t first_episode = 0;
};

class RealtimeSimulation {
 public:
  // Throws std::invalid_argument on options out of range and mbmf::Error if MuJoCo fails.
  RealtimeSimulation(std::shared_ptr<const Task> task, const RealtimeSimulationOptions& options);
  ~RealtimeSimulation();

  // Starts stepping; tick 0 is at `first`. The controller must live as long as this runs. Where its threads
  // have a SCHED_FIFO priority, the simulation's is one higher, if the system grants it: it is the robot.
  void start(Controller* controller, TimePoint first);
  const Task& task() const;
  bool finished() const;      // all steps are done, or it was stopped
  std::int64_t done() const;  // steps so far
  void stop();
  // MuJoCo's integration-state row before the latest step, for a viewer: row (state_size). Never waits; for
  // one thread.
  int state_size() const;
  void latest(double* row);

  // What happened, once it is finished: one row per step done. Throws mbmf::Error before, and where an
  // episode could not start.
  struct Record {
    std::vector<double> states;             // (done, nstate), before the step
    std::vector<double> next_states;        // (done, nstate), after it
    std::vector<double> observations;       // (done, nobservation), before the step
    std::vector<double> next_observations;  // (done, nobservation), after it
    std::vector<double> actions;            // (done, naction), as they acted
    std::vector<double> rewards;            // (done)
    std::vector<std::uint8_t> terminated;   // (done) the step left the healthy bounds, or MuJoCo failed
    std::vector<std::uint8_t> diverged;     // (done) the latter
    std::vector<std::uint8_t> first;        // (done) the first step of an episode
    std::vector<std::uint8_t> fresh;        // (done) whether the action was new
    std::vector<std::int64_t> action_step;  // (done) the tick that the action was meant for; -1: none yet
    std::int64_t overruns = 0;              // steps that were not computed within their time
  };
  const Record& record() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mbmf

#endif  // MBMF_CONTROL_REALTIME_SIMULATION_H_
