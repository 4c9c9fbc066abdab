// Control steps per second of the simulator, beside MuJoCo's own batch with the same model, threads and
// actions.
//
// The baseline does no more than step physics; the simulator also reads states, computes rewards and checks
// the bounds. Both must arrive at the same positions and velocities, to 1e-12.

#include <benchmark/benchmark.h>
#include <mujoco/mjbatch.h>
#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "mbmf/base/random.h"
#include "mbmf/physics/simulator.h"
#include "mbmf/task/task.h"

namespace {

constexpr int kSimulations = 64;

// A planar leg on the floor: contacts, limits and actuators, as in the paper's robots.
constexpr char kLeg[] = R"(<mujoco>
  <option timestep="0.005"/>
  <default><joint armature="1" damping="1" limited="true"/><geom density="1000" friction="0.9 0.1 0.1"/></default>
  <worldbody>
    <geom type="plane" size="20 20 1"/>
    <body name="torso" pos="0 0 1.25">
      <joint name="x" type="slide" axis="1 0 0" limited="false" armature="0" damping="0"/>
      <joint name="z" type="slide" axis="0 0 1" limited="false" armature="0" damping="0"/>
      <joint name="pitch" axis="0 1 0" limited="false" armature="0" damping="0"/>
      <geom type="capsule" fromto="0 0 0.2 0 0 -0.2" size="0.05"/>
      <body pos="0 0 -0.2">
        <joint name="thigh" axis="0 -1 0" range="-150 0"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.45" size="0.05"/>
        <body pos="0 0 -0.45">
          <joint name="knee" axis="0 -1 0" range="-150 0"/>
          <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.04"/>
          <body pos="0 0 -0.5">
            <joint name="foot" axis="0 -1 0" range="-45 45"/>
            <geom type="capsule" fromto="-0.13 0 0 0.26 0 0" size="0.06"/>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="thigh" gear="200" ctrlrange="-1 1"/>
    <motor joint="knee" gear="200" ctrlrange="-1 1"/>
    <motor joint="foot" gear="200" ctrlrange="-1 1"/>
  </actuator>
</mujoco>)";

constexpr int kPhysicsSteps = 4;  // per control step

std::shared_ptr<const mbmf::Task> make_task() {
  char error[1024] = "";
  mjSpec* spec = mj_parseXMLString(kLeg, nullptr, error, sizeof(error));
  mjModel* model = spec ? mj_compile(spec, nullptr) : nullptr;
  if (!model) throw std::runtime_error(std::string("the leg does not compile: ") + error);
  std::vector<std::byte> mjb(static_cast<std::size_t>(mj_sizeModel(model)));
  mj_saveModel(model, nullptr, mjb.data(), static_cast<int>(mjb.size()));

  mbmf::TaskSpec task;
  task.name = "leg";
  task.physics_steps = kPhysicsSteps;
  for (int i = 0; i < model->nq; i++) task.state.push_back({.source = mbmf::Source::kQpos, .address = i});
  for (int i = 0; i < model->nv; i++) task.state.push_back({.source = mbmf::Source::kQvel, .address = i});
  for (int axis = 0; axis < 3; axis++) {
    task.state.push_back({.source = mbmf::Source::kSubtreeLinvel, .address = 3 + axis});
  }
  task.observation = task.state;
  const int velocity = static_cast<int>(model->nq + model->nv);
  task.reward = {{mbmf::TermKind::kLinear, 1, {velocity}, {}, {}},
                 {mbmf::TermKind::kAction, -0.005, {}, {}, {}}};
  task.cost = {{mbmf::TermKind::kLinear, -1, {velocity}, {}, {}}};
  task.start_qpos.assign(model->qpos0, model->qpos0 + model->nq);
  task.start_qvel.assign(static_cast<std::size_t>(model->nv), 0.0);
  task.reset[0].qvel = {.kind = mbmf::NoiseKind::kNormal, .scale = 0.1};
  mj_deleteModel(model);
  mj_deleteSpec(spec);
  return mbmf::Task::load(mjb.data(), mjb.size(), task);
}

struct DeleteBatch {
  void operator()(mjBatch* batch) const { mjb_deleteBatch(batch); }
};
using Batch = std::unique_ptr<mjBatch, DeleteBatch>;

Batch make_batch(const mbmf::Task& task, int nthread) {
  mjBatchConfig config;
  mjb_defaultConfig(&config);
  config.nthread = nthread;
  char error[1024] = "";
  Batch batch(mjb_makeBatch(task.model(), kSimulations, &config, error, sizeof(error)));
  if (!batch) throw std::runtime_error(std::string("no batch: ") + error);
  return batch;
}

// Random actions of all simulations at a step; both benchmarks take the same.
std::vector<double> actions_at(const mbmf::Task& task, int step) {
  mbmf::Draws draws(mbmf::derive_key(0, mbmf::Stream::kRandomAction, 0), step, 0);
  std::vector<double> actions(static_cast<std::size_t>(kSimulations) * task.naction());
  std::generate(actions.begin(), actions.end(), [&] { return draws.symmetric(); });
  return actions;
}

void step_batch(mjBatch* batch, const std::vector<double>& actions) {
  int size = 0;
  mjtNum* ctrl = mjb_stateComponent(batch, mjSTATE_CTRL, &size);
  for (int sim = 0; sim < kSimulations; sim++) {
    std::copy_n(actions.data() + static_cast<std::ptrdiff_t>(sim) * size, size,
                ctrl + static_cast<std::ptrdiff_t>(sim) * mjb_nstate(batch));
  }
  mjb_step(batch, nullptr, 0, kPhysicsSteps, mjSTAGE_NONE);
}

// Why the simulator and the batch do not agree after some steps from the same start, or "".
std::string disagreement(const std::shared_ptr<const mbmf::Task>& task, int nthread) {
  mbmf::Simulator simulator(task, kSimulations, nthread, 0);
  const Batch batch = make_batch(*task, nthread);
  const int size = simulator.state_size();
  if (size != mjb_nstate(batch.get())) return "rows of different sizes";
  simulator.get_state(nullptr, 0, mjb_state(batch.get()));
  for (int step = 0; step < 50; step++) {
    const std::vector<double> actions = actions_at(*task, step);
    simulator.step(nullptr, 0, actions.data());
    step_batch(batch.get(), actions);
  }
  const mjtNum* start = mjb_state(batch.get());
  const mjtNum* qpos = mjb_stateComponent(batch.get(), mjSTATE_QPOS, nullptr);
  std::vector<double> rows(static_cast<std::size_t>(kSimulations) * size);
  simulator.get_state(nullptr, 0, rows.data());
  double worst = 0;
  for (int sim = 0; sim < kSimulations; sim++) {
    const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(sim) * size + (qpos - start);
    for (std::ptrdiff_t i = first; i < first + task->model()->nq + task->model()->nv; i++) {
      worst = std::max(worst, std::abs(rows[static_cast<std::size_t>(i)] - start[i]));
    }
  }
  return worst <= 1e-12 ? "" : "positions and velocities differ by " + std::to_string(worst);
}

void BM_Simulator(benchmark::State& state) {
  const std::shared_ptr<const mbmf::Task> task = make_task();
  const int nthread = static_cast<int>(state.range(0));
  if (const std::string problem = disagreement(task, nthread); !problem.empty()) {
    state.SkipWithError(problem.c_str());
    return;
  }
  mbmf::Simulator simulator(task, kSimulations, nthread, 0);
  int step = 0;
  for (auto _ : state) {
    simulator.step(nullptr, 0, actions_at(*task, step++).data());
  }
  state.SetItemsProcessed(kSimulations * state.iterations());
  state.SetLabel("items: control steps");
}
BENCHMARK(BM_Simulator)->Arg(1)->Arg(2)->ArgName("threads")->UseRealTime();

void BM_MujocoBatch(benchmark::State& state) {
  const std::shared_ptr<const mbmf::Task> task = make_task();
  const Batch batch = make_batch(*task, static_cast<int>(state.range(0)));
  mbmf::Simulator(task, kSimulations, 1, 0).get_state(nullptr, 0, mjb_state(batch.get()));
  int step = 0;
  for (auto _ : state) {
    step_batch(batch.get(), actions_at(*task, step++));
  }
  state.SetItemsProcessed(kSimulations * state.iterations());
  state.SetLabel("items: control steps");
}
BENCHMARK(BM_MujocoBatch)->Arg(1)->Arg(2)->ArgName("threads")->UseRealTime();

}  // namespace
