// A dynamics model packed for one instruction set's kernels.

#ifndef MBMF_SRC_MODEL_PACKED_DYNAMICS_H_
#define MBMF_SRC_MODEL_PACKED_DYNAMICS_H_

#include <deque>
#include <vector>

#include "kernel/kernel.h"
#include "mbmf/model/dynamics.h"
#include "model/packed_mlp.h"

namespace mbmf {

class PackedDynamics {
 public:
  // last_rows: the states that a cost reads, for the last point; all if empty. with_head: with the variance
  // head, if there is one.
  PackedDynamics(const Dynamics& dynamics, const kernel::Table& table, bool with_head,
                 const std::vector<int>& last_rows = {});
  PackedDynamics(const PackedDynamics&) = delete;
  PackedDynamics& operator=(const PackedDynamics&) = delete;

  const kernel::Model& model() const { return model_; }
  std::size_t scratch() const { return static_cast<std::size_t>(table_.scratch(&model_)); }

  // A state (nstate) as the kernels keep it: less the centre.
  void to_row(const double* state, float* row) const;
  // And back, in place: n rows.
  void from_rows(float* rows, std::int64_t n) const;
  double centre(int i) const { return model_.centre == nullptr ? 0.0 : model_.centre[i]; }

  // Which network each particle goes through: (horizon, particles), for kernel::Particles.
  void draw_members(const PhiloxKey& key, int horizon, std::int32_t* members) const;

 private:
  const Dynamics& dynamics_;
  const kernel::Table& table_;
  std::deque<RowMlp> rows_;
  std::deque<PackedMlp> packed_;
  std::vector<const kernel::Net*> nets_;
  std::vector<kernel::Input> inputs_;
  kernel::Model model_{};
};

}  // namespace mbmf

#endif  // MBMF_SRC_MODEL_PACKED_DYNAMICS_H_
