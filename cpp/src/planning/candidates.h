// Candidates made again from a proposal, and a round of them.

#ifndef MBMF_SRC_PLANNING_CANDIDATES_H_
#define MBMF_SRC_PLANNING_CANDIDATES_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "base/cpu.h"
#include "mbmf/base/error.h"
#include "mbmf/planning/search.h"
#include "model/packed_mlp.h"

namespace mbmf {

inline constexpr int kMaxSequences = 64;  // of one call of Round::sequences

// Candidates' actions as the kernels make them, in a row for each candidate.
class Maker {
 public:
  Maker(const PlanShape& shape, const kernel::Table& table)
      : table_(table),
        rows_(static_cast<std::size_t>(shape.horizon) * shape.naction * table.tile),
        colour_(static_cast<std::size_t>(shape.horizon) * table.tile) {}

  void make(const Proposal& proposal, std::int64_t first, std::int64_t n, float* out) const {
    const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(proposal.horizon) * proposal.naction;
    float* rows = const_cast<float*>(rows_.data());
    for (std::int64_t done = 0; done < n; done += table_.tile) {
      const int count = static_cast<int>(std::min<std::int64_t>(table_.tile, n - done));
      table_.propose(&proposal, first + done, count, rows, table_.tile, const_cast<float*>(colour_.data()));
      for (int lane = 0; lane < count; ++lane) {
        float* to = out + (done + lane) * size;
        for (std::ptrdiff_t i = 0; i < size; ++i) to[i] = rows[i * table_.tile + lane];
      }
    }
  }

 private:
  const kernel::Table& table_;
  AlignedFloats rows_, colour_;
};

class RolledRound : public Round {
 public:
  const Maker* maker = nullptr;
  const Proposal* proposal = nullptr;

  void sequences(std::int64_t first, int n, float* out) const override {
    if (first < 0 || n < 0 || n > kMaxSequences || first > done - n) {
      throw_invalid("first and n must name at most ", kMaxSequences, " of the ", done,
                    " rolled candidates, got ", first, " and ", n);
    }
    maker->make(*proposal, first, n, out);
  }

  void sequences(const Scored* chosen, std::int64_t n, float* out) const override {
    std::array<std::uint32_t, kMaxSequences> positions;
    const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(proposal->horizon) * proposal->naction;
    Proposal some = *proposal;
    some.positions = positions.data();
    for (std::int64_t begin = 0; begin < n; begin += kMaxSequences) {
      const std::int64_t count = std::min<std::int64_t>(kMaxSequences, n - begin);
      for (std::int64_t i = 0; i < count; ++i) {
        positions[static_cast<std::size_t>(i)] = static_cast<std::uint32_t>(chosen[begin + i].position);
      }
      maker->make(some, 0, count, out + begin * size);
    }
  }
};

// What a round's proposal points to, for each slot of the pool: a thread left behind may still read it when
// the next round begins.
struct ProposalStore {
  Proposal proposal;
  std::vector<float> mean, deviation, before, given, policy;

  void reserve(const PlanShape& shape, std::int64_t most_given, std::int64_t most_of_policy) {
    const auto size = static_cast<std::size_t>(shape.horizon) * static_cast<std::size_t>(shape.naction);
    mean.resize(size);
    deviation.resize(size);
    before.resize(static_cast<std::size_t>(shape.naction));
    given.resize(size * static_cast<std::size_t>(most_given));
    policy.resize(size * static_cast<std::size_t>(most_of_policy));
  }

  void take(const Proposal& from) {
    proposal = from;
    const auto copy = [](const float*& pointer, std::vector<float>& to, std::size_t n) {
      if (pointer == nullptr) return;
      std::copy_n(pointer, n, to.begin());
      pointer = to.data();
    };
    copy(proposal.mean, mean, mean.size());
    copy(proposal.deviation, deviation, deviation.size());
    copy(proposal.before, before, before.size());
    if (proposal.ngiven == 0) proposal.given = nullptr;
    copy(proposal.given, given, mean.size() * static_cast<std::size_t>(proposal.ngiven));
    copy(proposal.policy, policy, mean.size() * static_cast<std::size_t>(proposal.npolicy));
  }
};

}  // namespace mbmf

#endif  // MBMF_SRC_PLANNING_CANDIDATES_H_
