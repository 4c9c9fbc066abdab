#include <algorithm>
#include <cmath>
#include <utility>

#include "mbmf/base/error.h"
#include "mbmf/planning/planner.h"
#include "planning/searches.h"
#include "planning/task_parts.h"

namespace mbmf {

namespace {

void check_value(const SearchOption& option, double value) {
  const bool whole = option.whole || !option.words.empty();
  const bool in_range =
      value >= option.low && value <= option.high && !(option.low_open && value == option.low);
  if (std::isfinite(value) && in_range && (!whole || value == std::floor(value))) return;
  throw_invalid(option.name, " must be ", whole ? "a whole number " : "", "in ", option.low_open ? "(" : "[",
                option.low, ", ", option.high, "], got ", value);
}

std::unique_ptr<Search> make_search(const Task& task, const PlannerOptions& options) {
  check_sizes(options, task);
  const SearchKind& kind = search_kind(options.search);
  if (options.candidates > kind.most_candidates) {
    throw_invalid("candidates must be at most ", kind.most_candidates, " with search ", kind.name, ", got ",
                  options.candidates);
  }
  SearchValues values;
  std::string names;
  for (const SearchOption& option : kind.options) {
    const auto given = options.settings.find(option.name);
    const double value = given == options.settings.end() ? option.value : given->second;
    check_value(option, value);
    values[option.name] = value;
    names += (names.empty() ? "" : ", ") + option.name;
  }
  for (const auto& [name, value] : options.settings) {
    if (!values.contains(name)) {
      throw_invalid("settings of search ", kind.name, " must be among ", names, ", got ", name);
    }
  }
  return kind.make({options.horizon, task.naction(), options.candidates}, values);
}

std::unique_ptr<Planner> assemble(std::shared_ptr<const Task> task, MakeTaskParts make,
                                  std::unique_ptr<Search> search, const PlannerOptions& options) {
  if (search == nullptr) search = make_search(*task, options);
  return std::make_unique<Planner>(std::move(task), std::move(make), std::move(search), options);
}

}  // namespace

void check_search(const Task& task, const PlannerOptions& options) { make_search(task, options); }

std::unique_ptr<Planner> make_planner(std::shared_ptr<const Task> task,
                                      std::shared_ptr<const Dynamics> dynamics, const PlannerOptions& options,
                                      std::unique_ptr<Search> search) {
  const auto make = [dynamics = std::move(dynamics), options](const std::shared_ptr<const Task>& of) {
    return TaskParts{make_model_roller(of, dynamics, options), make_model_proposer(of, dynamics, options)};
  };
  return assemble(std::move(task), make, std::move(search), options);
}

std::unique_ptr<Planner> make_planner(std::shared_ptr<const Task> task,
                                      std::shared_ptr<const Dynamics> dynamics, CostFunction cost,
                                      const PlannerOptions& options, std::unique_ptr<Search> search) {
  const auto make = [dynamics = std::move(dynamics), cost = std::move(cost),
                     options](const std::shared_ptr<const Task>& of) {
    return TaskParts{make_function_roller(of, dynamics, cost, options),
                     make_model_proposer(of, dynamics, options)};
  };
  return assemble(std::move(task), make, std::move(search), options);
}

std::unique_ptr<Planner> make_simulator_planner(std::shared_ptr<const Task> task,
                                                const PlannerOptions& options,
                                                std::unique_ptr<Search> search) {
  const auto make = [options](const std::shared_ptr<const Task>& of) {
    return TaskParts{make_simulator_roller(of, options), make_simulator_proposer(of, options)};
  };
  return assemble(std::move(task), make, std::move(search), options);
}

}  // namespace mbmf
