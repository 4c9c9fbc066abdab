// What one plan is asked, what it gives, and what it leaves for the next one of its episode.
//
// A plan is a pure function of (task, model, planner options, query, memory): the same bits on any number of
// threads.

#ifndef MBMF_PLANNING_QUERY_H_
#define MBMF_PLANNING_QUERY_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mbmf/task/path.h"
#include "mbmf/task/task.h"

namespace mbmf {

// A path in place of the task's, as a planner reads it. Made once, away from the control loop, and given to
// any plan of that task; immutable.
class PlannerPath;

// Throws std::invalid_argument unless the task follows a path, this one is valid (check_path), and both read
// the same states.
std::shared_ptr<const PlannerPath> make_planner_path(const Task& task, const PathCost& path);

struct PlanQuery {
  const double* start = nullptr;  // (start_size) a state, or a row of the simulator; finite
  std::uint64_t episode = 0;      // whose random numbers
  std::uint64_t step = 0;

  PathStart at = {};  // on the path
  // Followed in place of the task's path; null: the task's. The planner keeps it until later plans have taken
  // its place: hold it too where a plan must not free memory.
  std::shared_ptr<const PlannerPath> path = nullptr;

  // When the call must have returned. Something is searched, in time or not.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::int64_t candidates = 0;  // at most, over all rounds; 0: all
  bool predict = true;          // Plan::states; without them there is time for some more candidates
};

// What one plan leaves for the next of its episode. The caller keeps it, one per episode, and may copy, store
// and give it again. An empty one begins an episode. Which of these a search fills is its own affair.
struct PlanMemory {
  // of the planner that wrote it: a memory of another one is refused
  std::string search, task;
  int horizon = 0, naction = 0;

  bool filled = false;           // whether a plan wrote it
  std::uint64_t step = 0;        // that plan's: the next one shifts by the difference
  std::vector<float> mean;       // (horizon, naction)
  std::vector<float> deviation;  // (horizon, naction)
  std::vector<float> kept;       // (any, horizon, naction) sequences
  std::vector<float> executed;   // (naction) its action
  int segment = 0;               // on a path, where the next plan begins (next_segment in mbmf/task/path.h)
};

struct Plan {
  std::vector<float> actions;        // (horizon, naction) to execute
  std::vector<float> states;         // (horizon + 1, nstate), predicted; empty where not asked for; NaN
                                     // past where a simulation diverges
  double cost = 0;                   // of these actions
  std::int64_t candidate = 0;        // their position in the last round; -1: they are no candidate of it
  std::int64_t candidates_done = 0;  // rolled, over all rounds
  int rounds_done = 0;               // begun: the last one may have been cut short
  std::int64_t proposals_done = 0;   // of the candidates: those that the policy proposed

  // on a path
  bool moved = false;  // the plan moves on from the segment where it began
  int segment = 0;     // where the next plan begins
};

// A round as it was, for tests and pictures.
struct RoundTrace {
  std::vector<float> sequences;  // (candidates, horizon, naction)
  std::vector<double> costs;     // (candidates)
  std::vector<float> mean;       // (horizon, naction) after the round; empty where the search has none
  std::vector<float> deviation;
};

// The last plan's actions (horizon, naction) `steps` later; the last action is repeated. May be in place.
void shift_plan(const float* actions, int horizon, int naction, float* shifted, std::uint64_t steps = 1);

}  // namespace mbmf

#endif  // MBMF_PLANNING_QUERY_H_
