#include "mbmf/task/terms.h"

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

bool takes_indices(TermKind kind) { return kind != TermKind::kConstant && kind != TermKind::kAction; }

void check_term(const Term& term, int nstate, const std::string& where) {
  if (term.kind < TermKind::kConstant || term.kind > TermKind::kAction) {
    throw_invalid(where, ".kind must be a term kind, got ", static_cast<int>(term.kind));
  }
  if (!std::isfinite(term.weight)) throw_invalid(where, ".weight must be finite, got ", term.weight);
  if (takes_indices(term.kind) == term.index.empty()) {
    throw_invalid(where, ".index must be ",
                  term.index.empty() ? "one or more state indices" : "empty for this kind", ", got ",
                  term.index.size());
  }
  const bool compares = term.kind == TermKind::kQuadratic || term.kind == TermKind::kAbsolute ||
                        term.kind == TermKind::kDistance;
  for (const auto& [name, size] :
       {std::pair{".target", term.target.size()}, std::pair{".target_index", term.target_index.size()}}) {
    if (size == 0) continue;
    if (!compares) throw_invalid(where, name, " must be empty for this kind, got ", size, " values");
    if (size != term.index.size()) {
      throw_invalid(where, name, " must be one value per index (", term.index.size(), "), got ", size);
    }
  }
  if (!term.target.empty() && !term.target_index.empty()) {
    throw_invalid(where, " must be given target or target_index, got both");
  }
  for (int index : term.index) check_index(index, nstate, where + ".index");
  for (int index : term.target_index) check_index(index, nstate, where + ".target_index");
  for (double target : term.target) {
    if (!std::isfinite(target)) throw_invalid(where, ".target must be finite, got ", target);
  }
  if (term.kind == TermKind::kOutside) check_interval(term.bounds, where + ".bounds");
}

double target(const Term& term, std::size_t i, const double* state) {
  if (!term.target_index.empty()) return state[term.target_index[i]];
  return term.target.empty() ? 0.0 : term.target[i];
}

// the term without its weight
double value(const Term& term, const double* state, const double* action, int naction) {
  double sum = 0;
  switch (term.kind) {
    case TermKind::kConstant:
      return 1;
    case TermKind::kLinear:
      for (int index : term.index) sum += state[index];
      return sum;
    case TermKind::kQuadratic:
    case TermKind::kDistance:
      for (std::size_t i = 0; i < term.index.size(); ++i) {
        const double difference = state[term.index[i]] - target(term, i, state);
        sum += difference * difference;
      }
      return term.kind == TermKind::kDistance ? std::sqrt(sum) : sum;
    case TermKind::kAbsolute:
      for (std::size_t i = 0; i < term.index.size(); ++i) {
        sum += std::abs(state[term.index[i]] - target(term, i, state));
      }
      return sum;
    case TermKind::kOutside:
      for (int index : term.index) sum += term.bounds.contains(state[index]) ? 0 : 1;
      return sum;
    case TermKind::kAction:
      for (int i = 0; i < naction; ++i) sum += action[i] * action[i];
      return sum;
  }
  return sum;
}

}  // namespace

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

double evaluate(const std::vector<Term>& terms, const double* state, const double* action, int naction) {
  double sum = 0;
  for (const Term& term : terms) sum += term.weight * value(term, state, action, naction);
  return sum;
}

bool within(const std::vector<StateBound>& bounds, const double* state) {
  for (const StateBound& bound : bounds) {
    if (!bound.bounds.contains(state[bound.index])) return false;
  }
  return true;
}

}  // namespace mbmf
