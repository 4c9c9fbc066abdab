// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011).
//
// A number is a pure function of (seed, stream, sequence, step, index, draw), so a result never depends on
// the number of threads or on the order of the work, and any number can be made again instead of being
// stored. All functions are thread-safe.

#ifndef MBMF_BASE_RANDOM_H_
#define MBMF_BASE_RANDOM_H_

#include <array>
#include <cstdint>

namespace mbmf {

// What numbers are drawn for; each purpose has a stream of its own under one seed.
enum class Stream : std::uint32_t {
  kPlan = 1,          // candidate actions of the planner
  kReset = 2,         // start states of episodes
  kRandomAction = 3,  // actions of random episodes
  kActionNoise = 4,   // noise on executed actions
  kPolicy = 5,        // actions of a Gaussian policy
  kParticle = 6,      // next states of an ensemble's particles
  kProposal = 7,      // actions of a policy that proposes candidates
  kImagined = 8,      // actions of a policy that goes through a model
};

// Key of one sequence of numbers.
using PhiloxKey = std::array<std::uint32_t, 2>;
using PhiloxBlock = std::array<std::uint32_t, 4>;

// One Philox4x32-10 block.
PhiloxBlock philox(PhiloxKey key, PhiloxBlock counter);

// The key of sequence number `sequence` (an episode, a simulation) of a stream under a seed: the first two
// words of the block with the seed as the key and (stream, sequence low, sequence high, 0x6d626d66) as the
// counter.
PhiloxKey derive_key(std::uint64_t seed, Stream stream, std::uint64_t sequence);

// The four words of draw block `block` at (step, index): counter (block, index, step low, step high).
PhiloxBlock draw_block(PhiloxKey key, std::uint64_t step, std::uint32_t index, std::uint32_t block);

// A word as float32 in [-1, 1): (word >> 8) * 2^-23 - 1, exact.
inline float to_symmetric(std::uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-23f - 1.0f; }

// Numbers drawn one after the other from (key, step, index).
class Draws {
 public:
  Draws(PhiloxKey key, std::uint64_t step, std::uint32_t index) : key_(key), step_(step), index_(index) {}

  std::uint32_t word();  // uniform 32 bits
  float symmetric() { return to_symmetric(word()); }
  double uniform();  // [0, 1), 53 bits: two words
  double normal();   // N(0, 1), Box-Muller on two uniforms, cosine branch only

 private:
  PhiloxKey key_;
  std::uint64_t step_;
  std::uint32_t index_;
  std::uint32_t next_ = 0;
  PhiloxBlock block_{};
};

}  // namespace mbmf

#endif  // MBMF_BASE_RANDOM_H_
