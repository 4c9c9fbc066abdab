// Drives a robot with an exported folder, in real time: cpp_controller <folder> [seconds]
// The robot here is MuJoCo, in a thread of its own; yours takes the place of the function `robot`.

#include <mbmf/control/controller.h>
#include <mbmf/export/bundle.h>
#include <mujoco/mujoco.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>

using Clock = std::chrono::steady_clock;

// State in, action out, every control step; returns the rewards' sum.
double robot(const mbmf::Task& task, mbmf::Controller& controller, Clock::time_point tick, int steps) {
  mjData* data = mj_makeData(task.model());
  task.start(data, mbmf::ResetKind::kControl, mbmf::Draws({1, 2}, 0, 0));
  task.refresh(data);
  std::vector<double> state(static_cast<std::size_t>(task.nstate()));
  task.read(task.spec().state, data, state.data());
  mbmf::ActionMessage command;
  double reward = 0;
  for (int k = 0; k < steps; ++k) {
    std::this_thread::sleep_until(tick);
    controller.put_state(state.data(), tick);
    controller.get_action(&command);
    task.to_control(command.action.data(), data->ctrl);
    for (int i = 0; i < task.spec().physics_steps; ++i) mj_step(task.model(), data);
    task.refresh(data);
    task.read(task.spec().state, data, state.data());
    reward += mbmf::evaluate(task.spec().reward, state.data(), command.action.data(), task.naction());
    tick += std::chrono::nanoseconds(std::llround(1e9 * task.dt()));
  }
  mj_deleteData(data);
  return reward;
}

void print(const char* name, const mbmf::Quantiles& q) {
  std::printf("%-8s %10.3f %10.3f %10.3f %10.3f\n", name, 1e3 * q.p50, 1e3 * q.p99, 1e3 * q.p999,
              1e3 * q.max);
}

int main(int argc, char** argv) try {
  if (argc < 2) return std::fprintf(stderr, "usage: cpp_controller <folder> [seconds]\n"), 2;
  const mbmf::Bundle bundle = mbmf::Bundle::load(argv[1]);
  const double seconds = argc > 2 ? std::atof(argv[2]) : 10;
  mbmf::ControllerOptions options;
  options.phase = 0.05 * bundle.period;  // the state is there a little after the tick
  options.compensate = true;
  mbmf::PlannerOptions planner = bundle.planner;
  if (planner.search == "random_shooting") planner.settings["warm_start"] = 1;
  mbmf::Controller controller(bundle.task, bundle.dynamics, planner, options);

  const Clock::time_point first = Clock::now() + std::chrono::milliseconds(50);
  controller.start(first);
  const int steps = static_cast<int>(seconds / bundle.period);
  double reward = 0;
  std::thread simulation([&] { reward = robot(*bundle.task, controller, first, steps); });
  simulation.join();
  controller.stop();

  const mbmf::ControllerStatistics s = controller.statistics();
  std::printf("ms           median        99%%      99.9%%        max\n");
  print("period", s.period), print("compute", s.compute), print("jitter", s.jitter);
  std::printf("steps %ld, planned %ld, held %ld, safe %ld, deadline misses %ld\n", s.steps, s.planned, s.held,
              s.safe, s.misses());
  std::printf("candidates per plan %.0f, reward %.2f in %d steps\n",
              static_cast<double>(s.candidates) / static_cast<double>(s.planned > 0 ? s.planned : 1), reward,
              steps);
} catch (const std::exception& error) {
  return std::fprintf(stderr, "cpp_controller: %s\n", error.what()), 1;
}
