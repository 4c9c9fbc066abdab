// The planner of an exported folder without a clock: replay <folder> < states > actions
// A line of input is a step's number and a state, a line of output the action; numbers in hexadecimal (%a)
// lose no bit. The lines are one episode: a search that remembers goes on from line to line.

#include <mbmf/export/bundle.h>
#include <mbmf/planning/planner.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
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
  for (std::string word; std::cin >> query.step;) {
    for (double& x : state) {
      std::cin >> word;
      x = std::strtod(word.c_str(), nullptr);
    }
    planner->plan(query, &memory, &plan);
    for (int i = 0; i < bundle.task->naction(); ++i) std::printf("%a ", static_cast<double>(plan.actions[i]));
    std::printf("\n");
  }
} catch (const std::exception& error) {
  return std::fprintf(stderr, "replay: %s\n", error.what()), 1;
}
