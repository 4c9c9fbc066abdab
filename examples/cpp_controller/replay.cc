// The planner of an exported folder without a clock: replay <folder> < states > actions
// A line of input is a step's number and a state, a line of output the action; numbers in hexadecimal (%a)
// lose no bit. The lines are one episode: a search that remembers goes on from line to line, and a path
// begins where the first line is.

#include <mbmf/export/bundle.h>
#include <mbmf/planning/planner.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
  if (argc != 2) return std::fprintf(stderr, "usage: replay <folder> < states > actions\n"), 2;
  const mbmf::Bundle bundle = mbmf::Bundle::load(argv[1]);
  const auto planner = mbmf::make_planner(bundle.task, bundle.dynamics, bundle.planner);
  mbmf::PlanMemory memory = planner->make_memory();
  std::vector<double> state(static_cast<std::size_t>(bundle.task->nstate()));
  mbmf::PlanQuery query;
  query.start = state.data();
  mbmf::Plan plan;
  const auto& path = bundle.task->spec().path;
  int number = 0;
  for (std::string line, word; std::getline(std::cin, line); ++number) {
    std::istringstream words(line);
    std::size_t found = words >> query.step ? 0 : state.size();
    for (; found < state.size() && words >> word; ++found) {
      char* end = nullptr;
      state[found] = std::strtod(word.c_str(), &end);
      if (*end != '\0') break;
    }
    if (!words || found < state.size() || words >> word) {
      throw std::runtime_error("line " + std::to_string(number + 1) + " must be a step and " +
                               std::to_string(state.size()) + " numbers, got " + line);
    }
    if (path && path->relative && number == 0) {
      query.at.origin[0] = state[static_cast<std::size_t>(path->x)];
      query.at.origin[1] = state[static_cast<std::size_t>(path->y)];
    }
    planner->plan(query, &memory, &plan);
    query.at.segment = plan.segment;
    for (int i = 0; i < bundle.task->naction(); ++i) std::printf("%a ", static_cast<double>(plan.actions[i]));
    std::printf("\n");
  }
} catch (const std::exception& error) {
  return std::fprintf(stderr, "replay: %s\n", error.what()), 1;
}
