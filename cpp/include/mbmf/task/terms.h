// The vocabulary of rewards, planning costs and bounds, over a state and an action.
//
// A reward or a cost is a sum of terms. The simulator evaluates terms in float64 here; the planner evaluates
// the same terms in float32 in its kernels. Units are the state's.

#ifndef MBMF_TASK_TERMS_H_
#define MBMF_TASK_TERMS_H_

#include <vector>

#include "mbmf/task/term_kinds.h"

namespace mbmf {

// What a kind of term may have, as term_kinds.h says.
struct TermInfo {
  TermKind kind;
  const char* name;
  const char* meaning;
  bool states, targets, bounds, default_weight, quaternions;
};
// All kinds, in the order of their numbers.
const std::vector<TermInfo>& term_table();

// An interval; an end may be open (the value itself is then outside). NaN is outside.
struct Bounds {
  double low;
  double high;
  bool low_open = false;
  bool high_open = false;

  template <typename T>
  bool contains(T x) const {
    const T lo = static_cast<T>(low), hi = static_cast<T>(high);
    return (low_open ? x > lo : x >= lo) && (high_open ? x < hi : x <= hi);
  }
};

struct Term {
  TermKind kind = TermKind::kConstant;
  double weight = 0;
  std::vector<int> index = {};         // state indices; empty where the kind names no states
  std::vector<double> target = {};     // per index, empty: zeros
  std::vector<int> target_index = {};  // per index, a state index to compare with, in place of target
  Bounds bounds{0, 0};                 // where the kind has some
  bool terminal = false;               // of a planning cost: it counts only at the last point
};

// A state dimension that must stay within bounds.
struct StateBound {
  int index;
  Bounds bounds;
};

// Throws std::invalid_argument unless every index is in [0, nstate), sizes agree and numbers are finite
// (bounds may be infinite). `what` names the list in messages ("reward", "cost").
void check_terms(const std::vector<Term>& terms, int nstate, const char* what);
void check_bounds(const std::vector<StateBound>& bounds, int nstate, const char* what);

// The sum of the terms at state (nstate) and action (naction). action_rate: the sum of (action - the action
// before it)^2. is_last: whether terms that are terminal count.
double evaluate(const std::vector<Term>& terms, const double* state, const double* action, int naction,
                double action_rate = 0, bool is_last = false);

// Whether a term is one of how actions change.
bool reads_action_rate(const std::vector<Term>& terms);

// The sum of (action - before)^2 over naction; 0 where before is null.
double squared_step(const double* action, const double* before, int naction);

// True if every bounded dimension is within its bounds.
bool within(const std::vector<StateBound>& bounds, const double* state);

}  // namespace mbmf

#endif  // MBMF_TASK_TERMS_H_
