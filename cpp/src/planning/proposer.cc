#include "planning/proposer.h"

#include <algorithm>

#include "mbmf/base/random.h"

namespace mbmf {

ProposalNoise::ProposalNoise(const kernel::Table& table, int horizon, int naction, std::uint64_t seed)
    : table_(table),
      horizon_(horizon),
      naction_(naction),
      seed_(seed),
      zeros_(static_cast<std::size_t>(horizon) * static_cast<std::size_t>(naction)),
      deviation_(zeros_.size(), 1 / kUnit) {}

void ProposalNoise::draw(const PlanQuery& query, std::int64_t first, int count, float* rows) const {
  const PhiloxKey key = derive_key(seed_, Stream::kProposal, query.episode);
  Proposal noise;
  noise.kind = ProposalKind::kNormal;
  noise.horizon = horizon_;
  noise.naction = naction_;
  noise.mean = zeros_.data();
  noise.deviation = deviation_.data();
  noise.ngiven = 1;  // the mean itself
  noise.given = zeros_.data();
  std::copy(key.begin(), key.end(), noise.key);
  noise.step[0] = static_cast<std::uint32_t>(query.step);
  noise.step[1] = static_cast<std::uint32_t>(query.step >> 32);
  table_.propose(&noise, first, count, rows, table_.tile, nullptr);
}

}  // namespace mbmf
