#include "mbmf/task/task.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <random>
#include <string>

#include "infinity.h"
#include "mbmf/base/error.h"
#include "task_fixture.h"

namespace mbmf {
namespace {

using fixture::compile;
using fixture::creature;
using fixture::Data;
using fixture::load;
using fixture::make_data;
using fixture::plain_spec;

// random positions with unit quaternions, and velocities
void randomize(const Task& task, mjData* d, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  for (int i = 0; i < task.model()->nq; ++i) d->qpos[i] = normal(generator);
  for (int i = 0; i < task.model()->nv; ++i) d->qvel[i] = 3 * normal(generator);
  mj_normalizeQuat(task.model(), d->qpos);
  mju_copy3(d->mocap_pos, d->qpos);
}

TEST(TaskTest, RefreshEqualsMuJoCosOwnQuantities) {
  const std::vector<char> mjb = compile(creature());
  TaskSpec spec = plain_spec(mjb);
  const int nbody = 8;
  for (int i = 0; i < 3 * nbody; ++i) spec.state.push_back({Source::kSubtreeCom, i});
  for (int i = 0; i < 3 * nbody; ++i) spec.state.push_back({Source::kSubtreeLinvel, i});
  const auto centres = load(mjb, spec);
  for (int i = 0; i < 3 * nbody; ++i) spec.state.push_back({Source::kBodyPos, i});
  for (int i = 0; i < 9 * nbody; ++i) spec.state.push_back({Source::kBodyRotation, i});
  for (int i = 0; i < 3; ++i) spec.state.push_back({Source::kSitePos, i});
  const auto poses = load(mjb, spec);

  for (const auto& task : {centres, poses}) {
    const mjModel* m = task->model();
    const Data d = make_data(*task), expected = make_data(*task);
    for (unsigned seed = 0; seed < 20; ++seed) {
      randomize(*task, d.get(), seed);
      mj_copyData(expected.get(), m, d.get());
      task->refresh(d.get());
      mj_forward(m, expected.get());
      mj_subtreeVel(m, expected.get());
      for (int i = 0; i < 3 * m->nbody; ++i) {
        EXPECT_NEAR(d->subtree_com[i], expected->subtree_com[i], 1e-13) << i;
        EXPECT_NEAR(d->subtree_linvel[i], expected->subtree_linvel[i], 1e-13) << i;
      }
      if (task == centres) continue;
      for (int i = 0; i < 9 * m->nbody; ++i) EXPECT_EQ(d->xmat[i], expected->xmat[i]);
      for (int i = 0; i < 3 * m->nsite; ++i) EXPECT_EQ(d->site_xpos[i], expected->site_xpos[i]);
    }
  }
}

TEST(TaskTest, RefreshBringsSensorsUpToDate) {
  const std::vector<char> mjb = compile(creature());
  TaskSpec spec = plain_spec(mjb);
  for (int i = 0; i < 6; ++i) spec.state.push_back({Source::kSensor, i});
  const auto task = load(mjb, spec);
  const Data d = make_data(*task), expected = make_data(*task);
  randomize(*task, d.get(), 1);
  mj_copyData(expected.get(), task->model(), d.get());
  task->refresh(d.get());
  mj_forward(task->model(), expected.get());
  for (int i = 0; i < 6; ++i) EXPECT_EQ(d->sensordata[i], expected->sensordata[i]);
  EXPECT_NE(d->sensordata[0], 0);
}

TEST(TaskTest, RefreshLeavesTheNextStepAsItIs) {
  for (const char* option : {"integrator='Euler'", "integrator='RK4'", "integrator='implicitfast'"}) {
    const std::vector<char> mjb = compile(creature(option));
    TaskSpec spec = plain_spec(mjb);
    for (Source source : {Source::kSubtreeCom, Source::kSubtreeLinvel, Source::kSensor})
      spec.state.push_back({source});
    spec.observation = spec.state;
    const auto task = load(mjb, spec);
    const mjModel* m = task->model();
    const Data d = make_data(*task), expected = make_data(*task);
    int contacts = 0;
    for (int t = 0; t < 200; ++t) {
      for (mjData* data : {d.get(), expected.get()}) {
        data->ctrl[0] = std::sin(t), data->ctrl[1] = std::cos(t);
        mj_step(m, data);
      }
      task->refresh(d.get());
      contacts += expected->ncon;
      for (int i = 0; i < m->nq; ++i) ASSERT_EQ(d->qpos[i], expected->qpos[i]) << option << " step " << t;
      for (int i = 0; i < m->nv; ++i) ASSERT_EQ(d->qvel[i], expected->qvel[i]) << option << " step " << t;
    }
    EXPECT_GT(contacts, 100) << option;
  }
}

TEST(TaskTest, ChannelsAreTransformedThenClipped) {
  const std::vector<char> mjb = compile(creature());
  TaskSpec spec = plain_spec(mjb);
  spec.state = {{Source::kQpos, 0, Transform::kCos},
                {Source::kQpos, 0, Transform::kSin},
                {Source::kQpos, 1, Transform::kIdentity, -0.5, 0.25},
                {Source::kQpos, 2, Transform::kIdentity, -0.5, 0.25},
                {Source::kQvel, 3, Transform::kSin, 0, 0.1},
                {Source::kTime}};
  for (int k = 0; k < 6; ++k) spec.state.push_back({Source::kBodyEuler, 6 * 2 + k});
  spec.observation = spec.state;
  const auto task = load(mjb, spec);
  EXPECT_TRUE(task->observes_state());
  const Data d = make_data(*task);
  randomize(*task, d.get(), 3);
  d->qpos[0] = 0.7, d->qpos[1] = -4, d->qpos[2] = 4, d->qvel[3] = 1, d->time = 5;
  task->refresh(d.get());
  double out[12];
  task->read(spec.state, d.get(), out);
  const double expected[] = {std::cos(0.7), std::sin(0.7), -0.5, 0.25, 0.1, 5};
  for (int i = 0; i < 6; ++i) EXPECT_EQ(out[i], expected[i]) << i;

  // the angles of the paper's code for the ant
  const mjtNum* r = d->xmat + 9 * 2;
  const double angles[] = {std::atan2(r[3], r[1]), std::atan2(-r[6], std::hypot(r[7], r[8])),
                           std::atan2(r[7], r[8])};
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(out[6 + 2 * i], std::cos(angles[i]), 1e-15);
    EXPECT_NEAR(out[7 + 2 * i], std::sin(angles[i]), 1e-15);
  }
}

TEST(TaskTest, StartsAreDrawnInOrder) {
  const std::vector<char> mjb = compile(creature());
  TaskSpec spec = plain_spec(mjb);
  spec.reset[1] = {{NoiseKind::kNormal, 0.5}, {NoiseKind::kUniform, 2}, {{13, -1, 1}, {12, 0.25, 0.25}}};
  const auto task = load(mjb, spec);
  const mjModel* m = task->model();
  const Data d = make_data(*task);
  const PhiloxKey key = derive_key(7, Stream::kReset, 3);
  task->start(d.get(), ResetKind::kRandom, Draws(key, 11, 0));

  Draws draws(key, 11, 0);
  std::vector<double> qpos, qvel;
  for (int i = 0; i < m->nq; ++i) qpos.push_back(spec.start_qpos[i] + 0.5 * draws.normal());
  for (int i = 0; i < m->nv; ++i) qvel.push_back(2 * (2 * draws.uniform() - 1));
  qpos[13] = -1 + 2 * draws.uniform();
  qpos[12] = 0.25;
  mj_normalizeQuat(m, qpos.data());
  EXPECT_EQ(std::vector<double>(d->qpos, d->qpos + m->nq), qpos);
  EXPECT_EQ(std::vector<double>(d->qvel, d->qvel + m->nv), qvel);
  EXPECT_NEAR(mju_norm(d->qpos + 3, 4), 1, 1e-15);

  // no noise, no draw
  task->start(d.get(), ResetKind::kDefault, Draws(key, 11, 0));
  EXPECT_EQ(std::vector<double>(d->qpos, d->qpos + m->nq), spec.start_qpos);
}

TEST(TaskTest, HealthIsItsBoundsAndFiniteness) {
  const std::vector<char> mjb = compile(creature());
  TaskSpec spec = plain_spec(mjb);
  spec.healthy = {{{Source::kQpos, 2}, {0.3, 1, true, false}},
                  {{Source::kSubtreeCom, 3 * 2 + 2}, {-kInfinity, 2}}};
  const auto task = load(mjb, spec);
  const Data d = make_data(*task);
  const auto healthy = [&](double z) {
    d->qpos[2] = z;
    task->refresh(d.get());
    return task->healthy(d.get());
  };
  EXPECT_TRUE(healthy(0.6));
  EXPECT_TRUE(healthy(1));
  EXPECT_FALSE(healthy(1.01));
  EXPECT_FALSE(healthy(0.3));
  EXPECT_FALSE(healthy(std::nan("")));
  d->qpos[2] = 0.6;
  d->qvel[4] = kInfinity;
  EXPECT_FALSE(task->healthy(d.get()));
}

TEST(TaskTest, ActionsAreScaledToLimitedActuators) {
  const std::vector<char> mjb = compile(creature());
  const auto task = load(mjb, plain_spec(mjb));
  const auto control = [&](double a) {
    const double action[] = {a, a};
    std::vector<double> ctrl(2);
    task->to_control(action, ctrl.data());
    return ctrl;
  };
  EXPECT_EQ(control(-1), (std::vector<double>{-2, -1}));  // range [-2, 4], and unlimited
  EXPECT_EQ(control(0), (std::vector<double>{1, 0}));
  EXPECT_EQ(control(1), (std::vector<double>{4, 1}));
}

TEST(TaskTest, ADeadCandidateGainsNothingMore) {
  const std::vector<char> mjb = compile(creature());
  TaskSpec spec = plain_spec(mjb);
  spec.state = spec.observation = {{Source::kQpos, 0}, {Source::kQpos, 1}};
  spec.cost = {{TermKind::kLinear, 1, {0}}, {TermKind::kAction, 10}};
  spec.alive = {{1, {0, kInfinity}}};
  const auto task = load(mjb, spec);
  // three candidates of two steps: alive throughout, dead at the second point and back again, and no number
  const float states[] = {1, 0, 2, 0, 4, 0, 1, 0, 2, -1, 4, 0, 1, NAN, 2, 0, 4, 0};
  const float actions[] = {1, 0, 0, 0.5, 1, 0, 0, 0.5, 1, 0, 0, 0.5};
  double cost[3];
  task->cost(states, actions, 3, 2, {}, cost);
  EXPECT_EQ(cost[0], (1 + 10) + (2 + 2.5) + (4 + 2.5));  // the last action counts twice
  EXPECT_EQ(cost[1], 1 + 10);
  EXPECT_TRUE(std::isnan(cost[2]));
}

TEST(TaskTest, BadSpecificationsAreRefusedByName) {
  const std::vector<char> mjb = compile(creature());
  using Edit = std::function<void(TaskSpec&)>;
  const std::pair<Edit, const char*> table[] = {
      {[](TaskSpec& s) { s.physics_steps = 0; }, "physics_steps must be at least 1, got 0"},
      {[](TaskSpec& s) { s.state.clear(); }, "state must be one or more channels, got none"},
      {[](TaskSpec& s) { s.observation.clear(); }, "observation must be one or more channels, got none"},
      {[](TaskSpec& s) { s.state[1].address = 99; },
       "state[1].address must be in [0, 15) for this source and model, got 99"},
      {[](TaskSpec& s) { s.state[1].address = -1; },
       "state[1].address must be in [0, 15) for this source and model, got -1"},
      {[](TaskSpec& s) { s.state[0].source = Source::kAct; },
       "state[0].address must be in [0, 0) for this source and model, got 0"},
      {[](TaskSpec& s) { s.state[0].source = static_cast<Source>(50); },
       "state[0].source must be a source, got 50"},
      {[](TaskSpec& s) { s.state[0].transform = static_cast<Transform>(9); },
       "state[0].transform must be a transform, got 9"},
      {[](TaskSpec& s) { s.state[0].low = 1, s.state[0].high = 0; },
       "state[0] must be clipped to low <= high, got low 1 and high 0"},
      {[](TaskSpec& s) {
         s.reward = {{TermKind::kLinear, 1, {99}}};
       },
       "reward[0].index must be a state index in [0, 28), got 99"},
      {[](TaskSpec& s) { s.state[0].lagged = true; },
       "state[0].lagged must be false but for positions of bodies, got true"},
      {[](TaskSpec& s) {
         s.reward_state = {{Source::kContactForce, 0}};
         s.reward = {{TermKind::kLinear, 1, {29}}};
       },
       "reward[0].index must be a state index in [0, 29), got 29"},
      {[](TaskSpec& s) {
         s.reward_state = {{Source::kContactForce, 48}};
       },
       "reward_state[0].address must be in [0, 48) for this source and model, got 48"},
      {[](TaskSpec& s) {
         s.reward = {{TermKind::kLinear, 1, {0}, {}, {}, {0, 0}, true}};
       },
       "reward[0].terminal must be false, got true"},
      {[](TaskSpec& s) { s.healthy_reward = kInfinity; }, "healthy_reward must be finite, got inf"},
      {[](TaskSpec& s) {
         s.alive = {{99, {0, 1}}};
       },
       "alive[0].index must be a state index in [0, 28), got 99"},
      {[](TaskSpec& s) {
         s.healthy = {{{Source::kQpos, 77}, {0, 1}}};
       },
       "healthy[0].address must be in [0, 15) for this source and model, got 77"},
      {[](TaskSpec& s) {
         s.healthy = {{{Source::kQpos, 0}, {1, 0}}};
       },
       "healthy[0].bounds must be an interval with low <= high, got low 1 and high 0"},
      {[](TaskSpec& s) { s.keyframe = 5; }, "keyframe must be in [0, 0), or -1, got 5"},
      {[](TaskSpec& s) { s.start_qpos.pop_back(); }, "start_qpos must be 15 values for this model, got 14"},
      {[](TaskSpec& s) { s.start_qvel[0] = kInfinity; }, "start_qvel must be finite, got inf"},
      {[](TaskSpec& s) { s.reset[2].qpos.scale = -1; },
       "reset[2].qpos.scale must be finite and at least 0, got -1"},
      {[](TaskSpec& s) { s.reset[0].qvel.kind = static_cast<NoiseKind>(7); },
       "reset[0].qvel.kind must be a kind of noise, got 7"},
      {[](TaskSpec& s) {
         s.reset[0].set_qpos = {{15, 0, 1}};
       },
       "reset[0].set_qpos must be qpos indices in [0, 15), got 15"},
      {[](TaskSpec& s) {
         s.reset[0].set_qpos = {{0, 1, 0}};
       },
       "reset[0].set_qpos must be a finite interval with low <= high, got low 1 and high 0"},
  };
  for (const auto& [edit, expected] : table) {
    TaskSpec spec = plain_spec(mjb);
    edit(spec);
    try {
      load(mjb, spec);
      ADD_FAILURE() << "accepted: " << expected;
    } catch (const std::invalid_argument& error) {
      EXPECT_STREQ(error.what(), expected);
    }
  }
}

TEST(TaskTest, ModelsThatCannotBeLoadedAreRefusedQuietly) {
  const std::vector<char> mjb = compile(creature());
  const TaskSpec spec = plain_spec(mjb);
  const std::vector<char> garbage(2000, 'x'),
      half(mjb.begin(), mjb.begin() + static_cast<long>(mjb.size() / 2));
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  for (const auto& [bytes, reason] : {std::pair{garbage, "must be a file of mj_saveModel"},
                                      std::pair{half, "must be as long as it announces"},
                                      std::pair{std::vector<char>(), "must be a whole file, got 0 bytes"}}) {
    try {
      load(bytes, spec);
      ADD_FAILURE() << "accepted: " << reason;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(reason), std::string::npos) << error.what();
    }
  }
  EXPECT_EQ(testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr(), "");
  EXPECT_FALSE(std::filesystem::exists("MUJOCO_LOG.TXT"));
}

TEST(TaskTest, AModelWithoutActuatorsIsRefused) {
  const std::vector<char> mjb =
      compile("<mujoco><worldbody><body><joint/><geom size='.1'/></body></worldbody></mujoco>");
  EXPECT_THROW(load(mjb, plain_spec(mjb)), std::invalid_argument);
}

}  // namespace
}  // namespace mbmf
