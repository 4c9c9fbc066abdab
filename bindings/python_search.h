// A search written in Python: a thin layer over an object that checks what its author returns
// (mbmf/planning/own.py).

#ifndef MBMF_BINDINGS_PYTHON_SEARCH_H_
#define MBMF_BINDINGS_PYTHON_SEARCH_H_

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "array_args.h"
#include "gil.h"
#include "mbmf/planning/planner.h"

namespace mbmf::bindings {

class PythonSearch : public Search {
 public:
  PythonSearch(py::object object, const PlannerOptions& options, int naction)
      : object_(std::move(object)),
        rounds_(object_.attr("rounds").cast<int>()),
        horizon_(options.horizon),
        naction_(naction),
        candidates_(options.candidates) {}
  // taking the GIL throws only where Python is at its end
  ~PythonSearch() override {  // NOLINT(bugprone-exception-escape)
    const AcquireGil acquire;
    object_.release().dec_ref();
  }
  PythonSearch(const PythonSearch&) = delete;
  PythonSearch& operator=(const PythonSearch&) = delete;

  const char* name() const override { return "own"; }
  int rounds() const override { return rounds_; }
  std::int64_t most(int) const override { return candidates_; }
  std::int64_t most_given() const override { return candidates_; }
  std::int64_t keep(int) const override { return 0; }

  struct State : Work {
    py::object plan;
    py::array_t<float> sequences;
    ~State() override {  // NOLINT(bugprone-exception-escape): as above
      const AcquireGil acquire;
      plan.release().dec_ref();
      sequences.release().dec_ref();
    }
  };
  std::unique_ptr<Work> make_work() const override {
    const AcquireGil acquire;
    return std::make_unique<State>();
  }

  void begin(const PlanMemory& memory, std::uint64_t shift, Work* work) const override {
    const AcquireGil acquire;
    py::array_t<float> mean = make_array<float>({horizon_, naction_});
    std::fill_n(mean.mutable_data(), mean.size(), 0.0f);
    if (memory.filled) shift_plan(memory.mean.data(), horizon_, naction_, mean.mutable_data(), shift);
    static_cast<State&>(*work).plan = call_back(object_.attr("begin"), mean);
  }

  std::int64_t propose(int number, const PlanQuery& query, Work* work, Proposal* proposal) const override {
    const AcquireGil acquire;
    State& s = static_cast<State&>(*work);
    const py::object found = call_back(object_.attr("propose"), s.plan, number, query.episode, query.step);
    if (found.is_none()) return 0;
    s.sequences = py::reinterpret_borrow<py::array_t<float>>(found);
    proposal->given = input<float>(s.sequences, "sequences", {"n", horizon_, naction_});
    proposal->ngiven = static_cast<int>(s.sequences.shape(0));
    return proposal->ngiven;
  }

  void update(const Round& round, Work* work) const override {
    const AcquireGil acquire;
    State& s = static_cast<State&>(*work);
    py::array_t<double> costs = make_array<double>({round.done});
    std::fill_n(costs.mutable_data(), round.done, std::numeric_limits<double>::infinity());
    for (std::int64_t i = 0; i < round.nscored; ++i) {
      costs.mutable_data()[round.scored[i].position] = round.scored[i].cost;
    }
    // as they were rolled: a policy may have proposed some of them
    py::array_t<float> sequences = make_array<float>({round.done, horizon_, naction_});
    constexpr std::int64_t kAtOnce = 64;
    const std::int64_t size = std::int64_t{horizon_} * naction_;
    for (std::int64_t first = 0; first < round.done; first += kAtOnce) {
      round.sequences(first, static_cast<int>(std::min(kAtOnce, round.done - first)),
                      sequences.mutable_data() + first * size);
    }
    call_back(object_.attr("update"), s.plan, sequences, costs);
  }

  bool choose(Work* work, Plan* plan) const override {
    const AcquireGil acquire;
    const py::object found = call_back(object_.attr("choose"), static_cast<State&>(*work).plan);
    if (found.is_none()) return false;
    const py::tuple parts = found;
    const py::array actions = parts[0];
    const float* values = input<float>(actions, "actions", {horizon_, naction_});
    plan->actions.assign(values, values + actions.size());
    plan->candidate = parts[1].cast<std::int64_t>();
    plan->cost = parts[2].cast<double>();
    return true;
  }

  void remember(const Work& work, PlanMemory* memory) const override {
    const AcquireGil acquire;
    const py::array mean = call_back(object_.attr("mean"), static_cast<const State&>(work).plan);
    const float* values = input<float>(mean, "mean", {horizon_, naction_});
    memory->mean.assign(values, values + mean.size());
  }

 private:
  py::object object_;
  int rounds_, horizon_, naction_;
  std::int64_t candidates_;
};

}  // namespace mbmf::bindings

#endif  // MBMF_BINDINGS_PYTHON_SEARCH_H_
