// What a simulation keeps of its last step is part of its row, and is what MuJoCo says it is.

#include <gtest/gtest.h>

#include <vector>

#include "mbmf/physics/simulator.h"
#include "task_fixture.h"

namespace mbmf {
namespace {

using fixture::Data;

constexpr int kTorso = 2, kShin = 4, kPhysicsSteps = 2;

std::shared_ptr<const Task> remembering_task() {
  const std::vector<char> mjb = fixture::compile(fixture::creature("integrator='RK4'"));
  TaskSpec spec = fixture::plain_spec(mjb);
  spec.physics_steps = kPhysicsSteps;
  spec.observation = {{Source::kQpos, 2, Transform::kRate}, {Source::kBodyPos, 3 * kShin, Transform::kRate}};
  Channel lagged{Source::kBodyPos, 3 * kTorso + 2};
  lagged.lagged = true;
  spec.observation.push_back(lagged);
  for (int i = 0; i < 6; ++i) spec.observation.push_back({Source::kContactForce, 6 * kShin + i});
  spec.reward = {{TermKind::kActionRate, 1}};
  return fixture::load(mjb, std::move(spec));
}

TEST(StepMemoryTest, ItIsWhatMuJoCoSays) {
  const auto task = remembering_task();
  const mjModel* m = task->model();
  // two rates, a position, six forces; for the action rate it, a mark, two actions
  EXPECT_EQ(task->nmemory(), 9 + 4);
  EXPECT_EQ(m->nuserdata, 13);
  Simulator simulator(task, 1, 1, 0);
  const Data d = fixture::make_data(*task), fresh = fixture::make_data(*task);
  std::vector<double> row(static_cast<std::size_t>(simulator.state_size()));
  simulator.get_state(nullptr, 0, row.data());
  mj_setState(m, d.get(), row.data(), mjSTATE_INTEGRATION);
  const auto shin_x = [&] {
    mju_copy(fresh->qpos, d->qpos, m->nq);
    mj_kinematics(m, fresh.get());
    return fresh->xpos[3 * kShin];
  };

  int touched = 0;
  double before[2] = {};
  for (int t = 0; t < 150; ++t) {
    const double action[] = {t % 3 - 1.0, 0.5 * (t % 2)};
    const double z = d->qpos[2], x = shin_x();
    simulator.step(nullptr, 0, action);
    task->to_control(action, d->ctrl);
    for (int i = 0; i < kPhysicsSteps; ++i) mj_step(m, d.get());
    mj_rnePostConstraint(m, d.get());

    const double* got = simulator.observations();
    ASSERT_EQ(got[0], (d->qpos[2] - z) / task->dt()) << t;
    ASSERT_EQ(got[1], (shin_x() - x) / task->dt()) << t;
    ASSERT_EQ(got[2], d->xpos[3 * kTorso + 2]) << t;
    for (int i = 0; i < 6; ++i) ASSERT_EQ(got[3 + i], d->cfrc_ext[6 * kShin + i]) << t;
    touched += got[8] != 0;
    const double step[] = {action[0] - before[0], action[1] - before[1]};
    EXPECT_EQ(simulator.rewards()[0], t > 0 ? step[0] * step[0] + step[1] * step[1] : 0);
    before[0] = action[0], before[1] = action[1];
  }
  EXPECT_GT(touched, 5);
  EXPECT_LT(touched, 150);
}

TEST(StepMemoryTest, ItComesBackWithTheRow) {
  const auto task = remembering_task();
  Simulator a(task, 1, 1, 0), b(task, 3, 2, 9);
  const auto step = [](int t) { return std::vector<double>{t % 5 * 0.4 - 0.8, t % 3 - 1.0}; };
  for (int t = 0; t < 70; ++t) a.step(nullptr, 0, step(t).data());
  std::vector<double> row(static_cast<std::size_t>(a.state_size()));
  a.get_state(nullptr, 0, row.data());
  const int id[] = {1};
  b.set_state(id, 1, row.data());
  for (int t = 70; t < 100; ++t) {
    for (int i = 0; i < task->nobservation(); ++i) {
      ASSERT_EQ(b.observations()[task->nobservation() + i], a.observations()[i]) << t << " " << i;
    }
    a.step(nullptr, 0, step(t).data());
    b.step(id, 1, step(t).data());
    ASSERT_EQ(b.rewards()[1], a.rewards()[0]);
    ASSERT_GT(a.rewards()[0], 0);
  }
}

TEST(StepMemoryTest, TasksThatAskForNothingKeepNothing) {
  const auto task = fixture::creature_task();
  EXPECT_EQ(task->nmemory(), 0);
  EXPECT_EQ(task->model()->nuserdata, 0);
}

}  // namespace
}  // namespace mbmf
