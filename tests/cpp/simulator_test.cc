#include "mbmf/physics/simulator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>

#include "mbmf/base/error.h"
#include "mbmf/rollout/rollout.h"
#include "task_fixture.h"

namespace mbmf {
namespace {

using fixture::creature_task;
using fixture::Data;
using fixture::make_data;

constexpr int kNsim = 5;

std::vector<double> random_actions(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-1.5, 1.5);  // some are clipped
  std::vector<double> actions(count);
  for (double& action : actions) action = uniform(generator);
  return actions;
}

std::vector<double> rows(const Simulator& simulator) {
  std::vector<double> all(static_cast<std::size_t>(simulator.nsim()) * simulator.state_size());
  simulator.get_state(nullptr, 0, all.data());
  return all;
}

std::vector<double> copy(const double* data, int n) { return {data, data + n}; }

// A robot whose first action, where above 0.9, makes MuJoCo give up.
std::shared_ptr<const Task> fragile_task(double scale = 0) {
  const std::vector<char> mjb = fixture::compile(R"(<mujoco><option timestep='0.01'/><worldbody><body>
      <joint name='j' type='slide'/><geom size='.1'/></body></worldbody><actuator>
      <general joint='j' gaintype='affine' gainprm='1 0 0' ctrlrange='-1 1'/>
      <motor joint='j' gear='1e13' ctrlrange='0 1' ctrllimited='true'/></actuator></mujoco>)");
  TaskSpec spec = fixture::plain_spec(mjb);
  spec.reward = {{TermKind::kConstant, 1}};
  spec.reset[1].qpos = {NoiseKind::kUniform, scale};
  return fixture::load(mjb, std::move(spec));
}

TEST(SimulatorTest, EqualsPlainStepsAtAnyNumberOfThreads) {
  for (const auto& [option, physics_steps] :
       {std::pair{"integrator='Euler'", 1}, std::pair{"integrator='RK4'", 1},
        std::pair{"integrator='implicitfast'", 5}}) {
    const auto task = creature_task(option, physics_steps);
    const mjModel* m = task->model();
    const int steps = 120, na = task->naction(), ns = task->nstate();
    const auto actions = random_actions(static_cast<std::size_t>(steps) * kNsim * na, 1);

    // the reference: one mjData per simulation
    Simulator first(task, kNsim, 1, 3);
    first.reset(nullptr, 0, ResetKind::kRandom);
    const std::vector<double> start = rows(first);
    std::vector<std::vector<double>> expected(steps);
    int contacts = 0;
    for (int sim = 0; sim < kNsim; ++sim) {
      const Data d = make_data(*task);
      mj_setState(m, d.get(), &start[static_cast<std::size_t>(sim) * first.state_size()],
                  mjSTATE_INTEGRATION);
      for (int t = 0; t < steps; ++t) {
        const double* action = &actions[(static_cast<std::size_t>(t) * kNsim + sim) * na];
        d->ctrl[0] = 1 + 3 * std::clamp(action[0], -1.0, 1.0);
        d->ctrl[1] = std::clamp(action[1], -1.0, 1.0);
        for (int i = 0; i < physics_steps; ++i) mj_step(m, d.get());
        contacts += d->ncon;
        std::vector<double> row(static_cast<std::size_t>(first.state_size()));
        mj_getState(m, d.get(), row.data(), mjSTATE_INTEGRATION);
        expected[t].insert(expected[t].end(), row.begin(), row.end());
      }
    }
    EXPECT_GT(contacts, 100);

    std::vector<double> last_states;
    for (int nthread : {1, 2, 3, 7}) {
      Simulator simulator(task, kNsim, nthread, 3);
      simulator.reset(nullptr, 0, ResetKind::kRandom);
      for (int t = 0; t < steps; ++t) {
        simulator.step(nullptr, 0, &actions[static_cast<std::size_t>(t) * kNsim * na]);
        ASSERT_EQ(rows(simulator), expected[t]) << option << " threads " << nthread << " step " << t;
      }
      const std::vector<double> states = copy(simulator.states(), kNsim * ns);
      if (nthread > 1) {
        EXPECT_EQ(states, last_states);
      }
      last_states = states;
    }
  }
}

TEST(SimulatorTest, RewardsAreOfTheStateAfterTheStepAndTheClippedAction) {
  const auto task = creature_task();
  Simulator simulator(task, 2, 1, 0);
  const double actions[] = {3, 0.5, -0.5, 0};
  simulator.step(nullptr, 0, actions);
  const double* first = simulator.states();
  const double* second = first + task->nstate();
  EXPECT_EQ(simulator.rewards()[0], first[0] + first[1] - 0.5 * (1 + 0.25));
  EXPECT_EQ(simulator.rewards()[1], second[0] + second[1] - 0.5 * 0.25);
}

TEST(SimulatorTest, StartsDependOnSeedSimulationAndCountOnly) {
  const auto task = creature_task();
  Simulator a(task, kNsim, 1, 3), b(task, kNsim, 3, 3), other(task, kNsim, 1, 4), smaller(task, 2, 1, 3);
  const std::vector<double> start = rows(a);
  EXPECT_EQ(rows(b), start);
  EXPECT_NE(rows(other), start);
  EXPECT_EQ(rows(smaller), std::vector<double>(start.begin(), start.begin() + 2 * a.state_size()));
  EXPECT_NE(std::memcmp(&start[0], &start[static_cast<std::size_t>(a.state_size())], 9 * sizeof(double)), 0);

  // the second start differs, and does not depend on what happened in between
  const int ids[] = {1, 4};
  a.step(nullptr, 0, random_actions(kNsim * 2, 1).data());
  a.reset(ids, 2, ResetKind::kDefault);
  b.reset(nullptr, 0, ResetKind::kDefault);
  for (int i : {1, 4}) {
    EXPECT_EQ(copy(a.states() + i * task->nstate(), task->nstate()),
              copy(b.states() + i * task->nstate(), task->nstate()));
  }
  EXPECT_NE(rows(b), start);
  b.reseed(3);
  b.reset(nullptr, 0, ResetKind::kDefault);
  EXPECT_EQ(rows(b), start);

  // an episode's start belongs to its number
  const std::uint64_t episodes[] = {4, 1};
  const int pair[] = {0, 2};
  b.start(pair, 2, ResetKind::kDefault, episodes);
  EXPECT_EQ(copy(b.states(), task->nstate()),
            copy(Simulator(task, 5, 1, 3).states() + 4 * task->nstate(), task->nstate()));
}

TEST(SimulatorTest, SimulationsMayHaveSeedsOfTheirOwn) {
  const auto task = creature_task();
  Simulator a(task, kNsim, 2, 3);
  const int ids[] = {1, 4};
  const std::uint64_t seeds[] = {8, 9};
  a.reseed_each(ids, 2, seeds);
  a.reset(ids, 2, ResetKind::kDefault);
  a.reset(nullptr, 0, ResetKind::kDefault);
  for (int i = 0; i < 2; ++i) {
    Simulator alone(task, 1, 1, seeds[i]);
    alone.reseed(seeds[i]);
    alone.reset(nullptr, 0, ResetKind::kDefault);
    alone.reset(nullptr, 0, ResetKind::kDefault);
    EXPECT_EQ(copy(a.states() + ids[i] * task->nstate(), task->nstate()),
              copy(alone.states(), task->nstate()));
  }
  // the others go on as before, and a copy as its original
  Simulator b(task, kNsim, 1, 3);
  b.reset(nullptr, 0, ResetKind::kDefault);
  EXPECT_EQ(copy(a.states(), task->nstate()), copy(b.states(), task->nstate()));
  b.set_draws(a.draws());
  a.reset(nullptr, 0, ResetKind::kDefault);
  b.reset(nullptr, 0, ResetKind::kDefault);
  EXPECT_EQ(rows(a), rows(b));
  EXPECT_THROW(b.set_draws({}), std::invalid_argument);
}

TEST(SimulatorTest, OnlyTheSimulationsOfACallMove) {
  const auto task = creature_task();
  Simulator simulator(task, kNsim, 2, 0);
  const std::vector<double> before = rows(simulator);
  const int ids[] = {0, 3};
  simulator.step(ids, 2, random_actions(4, 1).data());
  const std::vector<double> after = rows(simulator);
  const std::size_t size = static_cast<std::size_t>(simulator.state_size());
  for (std::size_t sim = 0; sim < kNsim; ++sim) {
    EXPECT_EQ(std::memcmp(&before[sim * size], &after[sim * size], size * sizeof(double)) != 0,
              sim == 0 || sim == 3);
    EXPECT_EQ(simulator.rewards()[sim] != 0, sim == 0 || sim == 3);
  }
  simulator.step(ids, 0, nullptr);
  EXPECT_EQ(rows(simulator), after);
}

TEST(SimulatorTest, StatesAreRestoredInFull) {
  const auto task = creature_task("integrator='RK4'");
  const auto actions = random_actions(100 * 2, 1);
  Simulator a(task, 1, 1, 0), b(task, 3, 2, 9);
  for (int t = 0; t < 60; ++t) a.step(nullptr, 0, &actions[t * 2]);
  std::vector<double> row = rows(a);
  const int id[] = {1};
  b.set_state(id, 1, row.data());
  EXPECT_EQ(copy(b.states() + task->nstate(), task->nstate()), copy(a.states(), task->nstate()));
  EXPECT_EQ(b.rewards()[1], 0);
  for (int t = 60; t < 100; ++t) {
    a.step(nullptr, 0, &actions[t * 2]);
    b.step(id, 1, &actions[t * 2]);
  }
  std::vector<double> restored(row.size());
  b.get_state(id, 1, restored.data());
  EXPECT_EQ(restored, rows(a));
}

TEST(SimulatorTest, ADivergingSimulationIsContained) {
  const auto task = fragile_task();
  Simulator simulator(task, 3, 2, 0);
  const double gentle[] = {0.1, -1, 0.2, -1, 0.3, -1}, fatal[] = {0.1, -1, 0.2, 1, 0.3, -1};
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  simulator.step(nullptr, 0, gentle);
  const std::vector<double> before = rows(simulator);
  const std::size_t size = static_cast<std::size_t>(simulator.state_size());
  for (int again = 0; again < 2; ++again) {
    simulator.step(nullptr, 0, fatal);
    const std::vector<double> after = rows(simulator);
    for (std::size_t sim = 0; sim < 3; ++sim) {
      EXPECT_EQ(simulator.diverged()[sim], sim == 1);
      EXPECT_EQ(simulator.terminated()[sim], sim == 1);
      EXPECT_EQ(simulator.rewards()[sim], sim == 1 ? 0 : 1);
      EXPECT_EQ(simulator.error(static_cast<int>(sim)).empty(), sim != 1);
      // qpos follows time in a row
      EXPECT_EQ(before[sim * size + 1] == after[sim * size + 1], sim == 1);
    }
    EXPECT_EQ(std::memcmp(&before[size], &after[size], size * sizeof(double)), 0);
    EXPECT_EQ(simulator.states()[2], before[size + 1]);
  }
  EXPECT_NE(simulator.error(1).find("QACC"), std::string::npos) << simulator.error(1);
  simulator.step(nullptr, 0, gentle);
  EXPECT_EQ(simulator.diverged()[1], 0);
  EXPECT_EQ(simulator.error(1), "");
  EXPECT_NE(rows(simulator)[size + 1], before[size + 1]);
  EXPECT_EQ(testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr(), "");
  EXPECT_FALSE(std::filesystem::exists("MUJOCO_LOG.TXT"));
}

// A robot with too little memory for a step: MuJoCo raises an error, which unwinds through our code.
std::shared_ptr<const Task> cramped_task() {
  std::string bodies, ends, motors;
  for (int i = 0; i < 20; ++i) {
    bodies += "<body pos='.1 0 0'><joint name='j" + std::to_string(i) + "' axis='0 1 0'/><geom size='.05'/>";
    ends += "</body>";
  }
  const std::vector<char> mjb =
      fixture::compile("<mujoco><size memory='5000'/><option integrator='RK4'/><worldbody>" + bodies + ends +
                       "</worldbody><actuator><motor joint='j0'/></actuator></mujoco>");
  return fixture::load(mjb, fixture::plain_spec(mjb));
}

// An error leaves a simulation by longjmp, past what tells the thread sanitizer that its call has ended
// (src/physics/mujoco_batch.h): what the call wrote would look unordered.
#ifdef __SANITIZE_THREAD__
#define MBMF_SKIP_WITHOUT_ORDER GTEST_SKIP() << "the thread sanitizer does not see how an error ends a call"
#else
#define MBMF_SKIP_WITHOUT_ORDER static_cast<void>(0)
#endif

TEST(SimulatorTest, AnErrorInMuJoCoIsContained) {
  MBMF_SKIP_WITHOUT_ORDER;
  Simulator simulator(cramped_task(), 3, 2, 0);
  const std::vector<double> before = rows(simulator);
  const double actions[] = {0, 0, 0};
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  simulator.step(nullptr, 0, actions);
  for (int sim = 0; sim < 3; ++sim) {
    EXPECT_TRUE(simulator.diverged()[sim] && simulator.terminated()[sim]);
    EXPECT_NE(simulator.error(sim).find("memory"), std::string::npos) << simulator.error(sim);
  }
  EXPECT_EQ(rows(simulator), before);
  EXPECT_EQ(testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr(), "");
  simulator.reset(nullptr, 0, ResetKind::kDefault);
  EXPECT_EQ(simulator.error(0), "");
}

TEST(SimulatorTest, BadArgumentsAreRefused) {
  const auto task = creature_task();
  EXPECT_THROW(Simulator(task, 0, 1, 0), std::invalid_argument);
  EXPECT_THROW(Simulator(task, 1, -1, 0), std::invalid_argument);
  Simulator simulator(task, 3, 1, 0);
  const std::vector<double> before = rows(simulator);
  const int unsorted[] = {1, 0}, twice[] = {1, 1}, beyond[] = {3}, negative[] = {-1};
  const double actions[] = {0, 0, 0, 0};
  EXPECT_THROW(simulator.step(unsorted, 2, actions), std::invalid_argument);
  EXPECT_THROW(simulator.step(twice, 2, actions), std::invalid_argument);
  EXPECT_THROW(simulator.reset(beyond, 1, ResetKind::kDefault), std::invalid_argument);
  EXPECT_THROW(simulator.reset(negative, 1, ResetKind::kDefault), std::invalid_argument);
  EXPECT_THROW(simulator.reset(nullptr, 0, static_cast<ResetKind>(3)), std::invalid_argument);
  EXPECT_THROW(simulator.error(3), std::invalid_argument);
  const double bad[] = {0, 0, 0, std::numeric_limits<double>::quiet_NaN(), 0, 0};
  EXPECT_THROW(simulator.step(nullptr, 0, bad), std::invalid_argument);
  std::vector<double> state = before;
  state[4] = std::numeric_limits<double>::infinity();
  EXPECT_THROW(simulator.set_state(nullptr, 0, state.data()), std::invalid_argument);
  EXPECT_EQ(rows(simulator), before);
}

// --- whole episodes

struct Buffers {
  Buffers(const Task& task, std::int64_t episodes, int steps) {
    const std::size_t n = static_cast<std::size_t>(episodes), t = static_cast<std::size_t>(steps);
    states.assign(n * (t + 1) * task.nstate(), 9);
    observations.assign(n * (t + 1) * task.nobservation(), 9);
    actions.assign(n * t * task.naction(), 9);
    rewards.assign(n * t, 9);
    lengths.assign(n, 9);
    terminated.assign(n, 9);
    diverged.assign(n, 9);
    view = {episodes,       steps,          states.data(),     observations.data(), actions.data(),
            rewards.data(), lengths.data(), terminated.data(), diverged.data()};
  }
  bool operator==(const Buffers& o) const {
    return states == o.states && observations == o.observations && actions == o.actions &&
           rewards == o.rewards && lengths == o.lengths && terminated == o.terminated &&
           diverged == o.diverged;
  }

  std::vector<double> states, observations, rewards;
  std::vector<float> actions;
  std::vector<std::int32_t> lengths;
  std::vector<std::uint8_t> terminated, diverged;
  EpisodeBuffers view;
};

TEST(CollectRandomTest, EpisodesAreSimulatorStepsAtAnyNumberOfThreads) {
  const auto task = creature_task("integrator='RK4'", 2);
  const int steps = 40, ns = task->nstate(), na = task->naction();
  Buffers expected(*task, 6, steps);
  collect_random(*task, expected.view, 5, 10, 1, nullptr);
  for (int nthread : {2, 3, 7}) {
    Buffers buffers(*task, 6, steps);
    collect_random(*task, buffers.view, 5, 10, nthread, nullptr);
    EXPECT_TRUE(buffers == expected) << nthread;
  }
  Buffers other(*task, 6, steps);
  collect_random(*task, other.view, 6, 10, 1, nullptr);
  EXPECT_FALSE(other == expected);

  // an episode belongs to its number
  Buffers tail(*task, 2, steps);
  collect_random(*task, tail.view, 5, 14, 1, nullptr);
  const std::size_t size = static_cast<std::size_t>(steps + 1) * ns;
  EXPECT_TRUE(std::equal(tail.states.begin(), tail.states.end(),
                         expected.states.begin() + static_cast<long>(4 * size)));

  // and is what the simulator gives from the same start with the same actions
  Simulator simulator(task, 1, 1, 5);
  const std::uint64_t number[] = {12};
  simulator.start(nullptr, 0, ResetKind::kRandom, number);
  double largest = 0;
  for (int t = 0; t <= steps; ++t) {
    const double* states = &expected.states[2 * size + static_cast<std::size_t>(t) * ns];
    ASSERT_EQ(copy(states, ns), copy(simulator.states(), ns)) << t;
    if (t == steps) break;
    const float* stored = &expected.actions[(2 * static_cast<std::size_t>(steps) + t) * na];
    const std::vector<double> action(stored, stored + na);
    largest = std::max(largest, std::abs(action[0]));
    simulator.step(nullptr, 0, action.data());
    EXPECT_EQ(expected.rewards[2 * static_cast<std::size_t>(steps) + t], simulator.rewards()[0]);
  }
  EXPECT_GT(largest, 0.9);
  for (int e = 0; e < 6; ++e)
    EXPECT_TRUE(expected.lengths[e] == steps && !expected.diverged[e] && !expected.terminated[e]);
}

TEST(CollectRandomTest, ADivergedEpisodeEndsBeforeTheFailingStep) {
  const auto task = fragile_task(0.01);
  const int steps = 50;
  Buffers buffers(*task, 8, steps);
  testing::internal::CaptureStderr();
  collect_random(*task, buffers.view, 0, 0, 3, nullptr);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  const int ns = task->nstate();
  for (int e = 0; e < 8; ++e) {
    ASSERT_TRUE(buffers.diverged[e]);
    ASSERT_LT(buffers.lengths[e], steps);
    for (int t = 0; t <= steps; ++t) {
      const double* state = &buffers.states[(static_cast<std::size_t>(e) * (steps + 1) + t) * ns];
      EXPECT_LT(std::abs(state[1]), 1e10);
      if (t > buffers.lengths[e]) {
        EXPECT_EQ(state[0], 0);
      }
      if (t >= buffers.lengths[e] && t < steps) {
        EXPECT_EQ(buffers.actions[(static_cast<std::size_t>(e) * steps + t) * 2], 0);
        EXPECT_EQ(buffers.rewards[static_cast<std::size_t>(e) * steps + t], 0);
      }
    }
  }
}

TEST(CollectRandomTest, AnErrorInMuJoCoEndsItsEpisodeOnly) {
  MBMF_SKIP_WITHOUT_ORDER;
  const auto task = cramped_task();
  Buffers buffers(*task, 7, 5);
  collect_random(*task, buffers.view, 0, 0, 3, nullptr);
  EXPECT_EQ(buffers.diverged, std::vector<std::uint8_t>(7, 1));
  EXPECT_EQ(buffers.lengths, std::vector<std::int32_t>(7, 0));
}

TEST(CollectRandomTest, ReportsProgressAndStops) {
  const auto task = creature_task("integrator='RK4'", 20);
  Buffers buffers(*task, 1000, 1000);
  std::int64_t last = 0;
  int calls = 0;
  const auto progress = [&](std::int64_t steps) {
    EXPECT_GE(steps, last);
    last = steps;
    return ++calls < 3;
  };
  EXPECT_THROW(collect_random(*task, buffers.view, 0, 0, 2, progress), Error);
  EXPECT_EQ(calls, 3);
  EXPECT_GT(last, 0);
  EXPECT_LT(last, 1000 * 1000);

  const auto fails = [](std::int64_t) -> bool { throw std::runtime_error("from progress"); };
  EXPECT_THROW(collect_random(*task, buffers.view, 0, 0, 2, fails), std::runtime_error);

  // the last report is of everything
  Buffers few(*task, 3, 2);
  collect_random(*task, few.view, 0, 0, 2, [&](std::int64_t steps) { return (last = steps) > 0; });
  EXPECT_EQ(last, 6);
}

TEST(CollectRandomTest, BadArgumentsAreRefused) {
  const auto task = creature_task();
  Buffers buffers(*task, 1, 1);
  EXPECT_THROW(collect_random(*task, buffers.view, 0, 0, -1, nullptr), std::invalid_argument);
  buffers.view.steps = 0;
  EXPECT_THROW(collect_random(*task, buffers.view, 0, 0, 1, nullptr), std::invalid_argument);
  buffers.view.steps = 1;
  buffers.view.episodes = 0;
  EXPECT_THROW(collect_random(*task, buffers.view, 0, 0, 1, nullptr), std::invalid_argument);
}

std::atomic<int> clock_readings{0};
mjtNum read_clock() {
  ++clock_readings;
  return 1;
}

// a batch's steps read no clock, and every other step still does, also after one in which MuJoCo failed
TEST(SimulatorTest, NeedsNoTimersAndLeavesThemToOthers) {
  const auto task = fragile_task();
  mjcb_time = read_clock;
  for (const int nthread : {1, 2}) {
    for (const double action : {0.5, 1.0}) {
      Simulator simulator(task, kNsim, nthread, 0);
      const std::vector<double> actions(kNsim * static_cast<std::size_t>(task->naction()), action);
      const int before = clock_readings;
      try {
        simulator.step(nullptr, 0, actions.data());
      } catch (const Error&) {
        EXPECT_EQ(action, 1.0);
      }
      EXPECT_EQ(clock_readings, before);
      const Data own = make_data(*task);
      mj_step(task->model(), own.get());
      EXPECT_GT(clock_readings, before);
    }
  }
  mjcb_time = nullptr;
}

}  // namespace
}  // namespace mbmf
