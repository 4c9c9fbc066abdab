// The planner of an exported folder without a clock: replay <folder> < states > actions
// A line of input is a step's number and a state, a line of output the action; numbers in hexadecimal (%a)
// lose no bit.

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
  mbmf::RandomShooting planner(bundle.task, bundle.dynamics, bundle.planner);
  std::vector<double> state(static_cast<std::size_t>(bundle.task->nstate()));
  mbmf::Plan plan;
  std::uint64_t step;
  for (std::string word; std::cin >> step;) {
    for (double& x : state) {
      std::cin >> word;
      x = std::strtod(word.c_str(), nullptr);
    }
    planner.plan(state.data(), 0, step, &plan);
    for (int i = 0; i < bundle.task->naction(); ++i) std::printf("%a ", static_cast<double>(plan.actions[i]));
    std::printf("\n");
  }
} catch (const std::exception& error) {
  return std::fprintf(stderr, "replay: %s\n", error.what()), 1;
}
