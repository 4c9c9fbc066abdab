// Normalisation folded into the first and the last layer of a network, and what networks see of states.

#ifndef MBMF_SRC_MODEL_FOLDED_H_
#define MBMF_SRC_MODEL_FOLDED_H_

#include <vector>

#include "kernel/kernel.h"
#include "mbmf/model/dynamics.h"
#include "mbmf/model/mlp.h"

namespace mbmf {

// Throws std::invalid_argument unless there are `size` finite means, and deviations that are not negative.
void check_normalization(const Normalization& normalization, int size, const char* what);
// Throws std::invalid_argument unless what is seen is known, and quaternions and vectors come whole.
void check_inputs(const std::vector<StateInput>& input, int nstate);

// Whether every state of a kind is one of `size` together.
template <class Kind>
bool in_groups(const std::vector<Kind>& kinds, Kind grouped, std::size_t size) {
  std::size_t run = 0;
  for (const Kind kind : kinds) {
    if (kind != grouped && run % size != 0) return false;
    run = kind == grouped ? run + 1 : 0;
  }
  return run % size == 0;
}

// The first state of the only quaternion that is seen, whose frame is that of body frames; -1 where there is
// none, or more than one.
int frame_of(const std::vector<StateInput>& input);

// y = W ((x - mean) / std) + b as one affine map of raw x, in float64.
void fold_input(Layer& layer, const std::vector<double>& mean, const std::vector<double>& std);
// (W x + b) * std + mean as one affine map, of the first rows.
void fold_output(Layer& layer, const std::vector<double>& mean_of, const std::vector<double>& std_of);

// How many inputs each of nstate states gives; input may be empty: one each.
std::vector<int> seen_of(const std::vector<StateInput>& input, int nstate);
// Their sum.
int count_seen(const std::vector<StateInput>& input, int nstate);

// (nstate) what states are kept less of, since float32 would lose digits; empty: all 0. whole (nstate, or
// empty): of the states themselves, for those that networks do not see.
std::vector<float> centres_of(const std::vector<StateInput>& input, int nstate, const Normalization& state,
                              const Normalization& whole);
// Statistics of what networks see of states that are kept less their centres (nstate, or empty).
Normalization less_centres(const std::vector<StateInput>& input, const Normalization& state,
                           const std::vector<float>& centre);

// The kernels' list of what is seen; empty where states are seen as they are.
std::vector<kernel::Input> kernel_inputs(const std::vector<StateInput>& input);

}  // namespace mbmf

#endif  // MBMF_SRC_MODEL_FOLDED_H_
