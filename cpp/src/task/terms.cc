#include "mbmf/task/terms.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

void check_index(int index, int nstate, const std::string& where) {
  if (index < 0 || index >= nstate) {
    throw_invalid(where, " must be a state index in [0, ", nstate, "), got ", index);
  }
}

void check_interval(const Bounds& bounds, const std::string& where) {
  if (!(bounds.low <= bounds.high)) {
    throw_invalid(where, " must be an interval with low <= high, got low ", bounds.low, " and high ",
                  bounds.high);
  }
}

void check_term(const Term& term, int nstate, const std::string& where) {
  const int number = static_cast<int>(term.kind);
  if (number < 0 || number >= static_cast<int>(term_table().size())) {
    throw_invalid(where, ".kind must be a term kind, got ", number);
  }
  const TermInfo& info = term_table()[static_cast<std::size_t>(number)];
  if (!std::isfinite(term.weight)) throw_invalid(where, ".weight must be finite, got ", term.weight);
  if (info.states == term.index.empty()) {
    throw_invalid(where, ".index must be ",
                  term.index.empty() ? "one or more state indices" : "empty for this kind", ", got ",
                  term.index.size());
  }
  for (const auto& [name, size] :
       {std::pair{".target", term.target.size()}, std::pair{".target_index", term.target_index.size()}}) {
    if (size == 0) continue;
    if (!info.targets) throw_invalid(where, name, " must be empty for this kind, got ", size, " values");
    if (size != term.index.size()) {
      throw_invalid(where, name, " must be one value per index (", term.index.size(), "), got ", size);
    }
  }
  if (info.quaternions && term.index.size() % 4 != 0) {
    throw_invalid(where, ".index must be quaternions, four states each, got ", term.index.size());
  }
  if (info.quaternions && term.target.empty() && term.target_index.empty()) {
    throw_invalid(where, ".target must be given for this kind, got none");
  }
  if (!term.target.empty() && !term.target_index.empty()) {
    throw_invalid(where, " must be given target or target_index, got both");
  }
  for (int index : term.index) check_index(index, nstate, where + ".index");
  for (int index : term.target_index) check_index(index, nstate, where + ".target_index");
  for (double target : term.target) {
    if (!std::isfinite(target)) throw_invalid(where, ".target must be finite, got ", target);
  }
  if (info.bounds) check_interval(term.bounds, where + ".bounds");
}

// The arithmetic of a term on one state and action, in float64.
struct Ops {
  using Value = double;
  const Term& term;
  const double* s;
  const double* a;
  int actions;
  double step;

  double number(double x) const { return x; }
  int n() const { return static_cast<int>(term.index.size()); }
  double state(int i) const { return s[term.index[static_cast<std::size_t>(i)]]; }
  double target(int i) const {
    const auto k = static_cast<std::size_t>(i);
    if (!term.target_index.empty()) return s[term.target_index[k]];
    return term.target.empty() ? 0.0 : term.target[k];
  }
  double difference(int i) const {
    const auto k = static_cast<std::size_t>(i);
    if (!term.target_index.empty()) return state(i) - s[term.target_index[k]];
    return state(i) - (term.target.empty() ? 0.0 : term.target[k]);
  }
  double outside(int i) const { return term.bounds.contains(state(i)) ? 0 : 1; }
  double clipped(int i) const {
    const double x = state(i);
    return x < term.bounds.low ? term.bounds.low : x > term.bounds.high ? term.bounds.high : x;
  }
  double excess(int i) const { return state(i) - clipped(i); }
  int naction() const { return actions; }
  double action(int i) const { return a[i]; }
  double action_rate() const { return step; }
  double add_square(double x, double sum) const { return sum + x * x; }
  double magnitude(double x) const { return std::abs(x); }
  double square_root(double x) const { return std::sqrt(x); }
  double arc(double y, double x) const { return y == 0 && x == 0 ? NAN : std::atan2(y, x); }
};

}  // namespace

const std::vector<TermInfo>& term_table() {
#define MBMF_TERM_ENTRY(entry)                \
  TermInfo{TermKind::k##entry,                \
           term_kinds::entry::kName,          \
           term_kinds::entry::kMeaning,       \
           term_kinds::entry::kStates,        \
           term_kinds::entry::kTargets,       \
           term_kinds::entry::kBounds,        \
           term_kinds::entry::kDefaultWeight, \
           term_kinds::entry::kQuaternions},
  static const std::vector<TermInfo> table = {MBMF_TERM_KINDS(MBMF_TERM_ENTRY)};
#undef MBMF_TERM_ENTRY
  return table;
}

void check_terms(const std::vector<Term>& terms, int nstate, const char* what) {
  for (std::size_t i = 0; i < terms.size(); ++i) {
    check_term(terms[i], nstate, what + ("[" + std::to_string(i) + "]"));
  }
}

void check_bounds(const std::vector<StateBound>& bounds, int nstate, const char* what) {
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    const std::string where = what + ("[" + std::to_string(i) + "]");
    check_index(bounds[i].index, nstate, where + ".index");
    check_interval(bounds[i].bounds, where + ".bounds");
  }
}

double evaluate(const std::vector<Term>& terms, const double* state, const double* action, int naction,
                double action_rate, bool is_last) {
  double sum = 0;
  for (const Term& term : terms) {
    if (term.terminal && !is_last) continue;
    const Ops ops{term, state, action, naction, action_rate};
    sum += term.weight * term_value(static_cast<int>(term.kind), ops, NAN);
  }
  return sum;
}

bool reads_action_rate(const std::vector<Term>& terms) {
  return std::any_of(terms.begin(), terms.end(),
                     [](const Term& term) { return term.kind == TermKind::kActionRate; });
}

double squared_step(const double* action, const double* before, int naction) {
  double sum = 0;
  for (int i = 0; before != nullptr && i < naction; ++i) {
    const double step = action[i] - before[i];
    sum += step * step;
  }
  return sum;
}

bool within(const std::vector<StateBound>& bounds, const double* state) {
  for (const StateBound& bound : bounds) {
    if (!bound.bounds.contains(state[bound.index])) return false;
  }
  return true;
}

}  // namespace mbmf
