// What the vector kernels do, as plain data: the only header that a per-instruction-set source shares with
// the rest.
//
// A per-ISA source includes no Eigen and no standard template: an inline function compiled for AVX-512 and
// merged by the linker would crash older machines. Everything here is therefore a plain struct of numbers and
// pointers.
//
// Layout: a tile holds up to `tile` candidates, one per lane; a row of a tile is `tile` adjacent floats,
// 64-byte aligned. Inputs are rows of states, then rows of actions. Weights are packed in groups of rows
// (group_rows), a group as [column][row].

#ifndef MBMF_KERNEL_KERNEL_H_
#define MBMF_KERNEL_KERNEL_H_

#include <cstddef>
#include <cstdint>

#include "mbmf/planning/proposal.h"

namespace mbmf::kernel {

// Groups that `rows` rows are cut into, at most `block` each, sizes differing by at most one.
inline int group_count(int rows, int block) { return (rows + block - 1) / block; }
inline int group_rows(int rows, int groups, int group) {
  return rows / groups + (group < rows % groups ? 1 : 0);
}

struct PackedLayer {
  int rows;
  int cols;
  const float* weight;  // groups, each [column][row]
  const float* bias;    // (rows)
};

// A layer for a few inputs at a time, where the vectors run along the rows: weights [column][row], rows
// padded with zeros to a multiple of kRowPad; 64-byte aligned.
inline constexpr int kRowPad = 16;
struct RowLayer {
  int rows;  // padded
  int cols;
  const float* weight;
  const float* bias;  // (rows)
};

struct Net {
  int nlayer;                // at least 1; the last is linear
  const PackedLayer* layer;  // (nlayer)
  const PackedLayer* last;   // the last layer cut down to the rows that the cost reads, for the last point
  const int* last_row;       // (last->rows) which state each of them is
  int activation;            // mbmf::Activation
  int widest;                // rows of the widest hidden layer
  const RowLayer* row;       // (nlayer) the same layers for a few candidates, or null
};

// A number that a network takes of the state: the state itself, its sine or its cosine, one of the matrix of
// the quaternion that begins there, or of a vector in a quaternion's frame.
enum class InputKind : int { kNumber, kSine, kCosine, kRotation, kMatrix, kBody };
// A rotation is six rows together: the first two columns of the matrix of the quaternion that begins at
// state.
inline constexpr int kRotationRows = 6;
struct Input {
  int state;
  InputKind kind;
  // kMatrix: which of the nine, row-major. kBody, three rows together: the quaternion's first state
  int entry = 0;
};

// What a state's output is: its difference, its next value, or from kTurn on number 0 .. 3 of a quaternion's
// four outputs, of which the last three are the rotation vector, in its own frame, that turns it. From
// kBodyDifference and kBodyValue on number 0 .. 2 of a vector's, in the frame of the quaternion Model::frame.
enum OutputKind : int { kDifference = 0, kValue = 1, kTurn = 2, kBodyDifference = 6, kBodyValue = 9 };

// States that are known beforehand, less their centres; candidates need no network for them.
struct Known {
  int n;
  const int* state;     // (n)
  const float* value;   // (horizon + 1, n) of the first start
  std::int64_t stride;  // to those of the next start
};

// What networks make of a state row. States are kept less their centre, which keeps those that are large
// beside their deviation exact.
struct Model {
  int nstate, naction;
  int nmember;            // networks, all of the same sizes
  const Net* const* net;  // (nmember)
  const Input* input;  // (nseen) what they see of the state, before the actions; null: the states as they are
  int nseen;           // inputs that come from the state
  const int* output;   // (nstate) OutputKind; null: all are differences
  const float* centre;  // (nstate), or null: all 0
  // The variance head, or null: after the outputs come their raw log variances, and the variance of state i's
  // is low[i] + 1 / (high[i] + scale[i] exp(-raw)), each (nstate).
  const float *low, *high, *scale;
  int frame = -1;  // first state of the quaternion in whose frame outputs are, or -1
};

// Particles: a candidate is rolled out several times, by the networks that `member` says, with noise that is
// a function of (key, position, particle, time, state).
struct Particles {
  int count;                   // a multiple of the networks
  int groups;                  // particle p is in group p modulo this
  const std::int32_t* member;  // (horizon, count)
  std::uint32_t key[2];
  float risk;  // the cost is the groups' mean plus this times their deviation
};

// What a state is worth after the last point: a model of one network without actions, whose only output is
// clipped to [low, high]; low where it is not a number.
struct Value {
  const Model* model;
  float low, high;
};

// A policy that acts in a model's states: a model of one network without actions, whose inputs are what the
// policy observes and whose outputs are the mean action. `deviation` (naction) is what a unit of noise in
// `Follow::actions` does.
struct Actor {
  const Model* model;
  const float* deviation;
};

// Rollouts of a policy through the networks' mean, all from one state.
struct Follow {
  const Model* model;
  const Actor* actor;
  const Known* known;  // or null
  const float* state;  // (nstate) less the centres
  int horizon;
  int count;  // at most a tile
  // (horizon * naction) rows of a tile, a rollout in each column; up to a multiple of a vector they hold
  // numbers. In: noise. Out: actions in [-1, 1], or not a number.
  float* actions;
};

struct Term {
  int kind;  // TermKind
  int n;
  const int* index;
  const float* target;      // (n) or null
  const int* target_index;  // (n) or null
  float weight;
  float low, high;
  int low_open, high_open;
  int terminal;  // it counts only at the last point
};

struct Bound {
  int index;
  float low, high;
  int low_open, high_open;
};

// A path and its cost (mbmf/task/path.h). A segment is kLegSize numbers: start x y, difference dx dy to the
// end, 1 / squared length (0 where there is none), squared length, direction, 1 (0 where it has no length).
// Its end is the next one's start; the last one, without length, stands for all after it.
inline constexpr int kLegSize = 8;
struct Path {
  const float* leg;  // (nleg, kLegSize)
  int nleg;
  int segment;        // where all candidates start
  float origin[2];    // added to the waypoints
  int x, y, heading;  // state rows; heading -1: none
  float distance, far, far_factor, forward;
  float turn, turn_limit, turn_beyond;
  int strict;
};

struct Rollout {
  const Model* model;
  const Particles* particles;  // or null: one, by the first network, without noise
  int horizon;
  const Term* term;
  int nterm;
  int reads_action_rate;  // whether a term does
  const Bound* alive;
  int nalive;
  float dying;         // added when a candidate leaves these bounds
  const Path* path;    // or null
  const Known* known;  // or null
  const Value* value;  // less of a candidate that ends alive; or null
  const float* state;  // (nstate) where all candidates start, less the centres
  // (nmember) of each network (rows of layer 0): its bias plus the state's part, the same for all at t = 0
  const float* const* first_base;
  const float* actions;  // (horizon * naction) rows of `stride` floats, a candidate in each column
  int stride;            // a multiple of `tile`; columns up to a multiple of half a tile hold numbers
  int count;             // candidates, at most `group` of the table
  std::uint32_t first;   // position of the first, for the particles' noise
  float* cost;           // (count) out
  std::int32_t* moved;   // (count) out, or null: the particles of a candidate that moved on from its segment
};

// A product of matrices a (rows, inner) and b (inner, cols); number (i, k) of a is a[i * a_row + k *
// a_inner], so that a may be transposed, and b is kept by rows.
struct Factors {
  const float* a;
  std::ptrdiff_t a_row, a_inner;
  const float* b;
  std::ptrdiff_t b_row;
  int inner;
};

// out (rows, cols), by rows on 64-byte boundaries = start (cols) in each row, or zeros, + the products; then
// times the slope of tanh, 1 - y^2, where it is y (rows, ny): 1 in the columns from ny on.
struct Product {
  int rows, cols;      // cols a multiple of kRowPad
  const float* start;  // or null
  Factors factors[2];
  int nfactors;
  const float* y;  // or null
  int ny;
  float* out;
  std::ptrdiff_t out_row;
  const float* ahead;  // (nahead) numbers that are needed soon, to be fetched from memory meanwhile
  std::int64_t nahead;
};

struct Table {
  const char* name;
  int tile;       // lanes of a tile
  int row_block;  // rows of a weight group, at most
  int group;      // candidates that one rollout call takes, at most

  // floats of scratch that a call needs, 64-byte aligned
  std::int64_t (*scratch)(const Model* model);
  // of network `member`: the first layer's bias plus its columns for the state times what it sees of the
  // state (nstate), in the kernels' order: out (rows)
  void (*base)(const Model* model, int member, const float* state, float* out, float* scratch);
  void (*rollout)(const Rollout* work, float* scratch);
  // n <= tile start states (n, nstate), less the centres, and actions (n, horizon, naction) -> out
  // (n, horizon + 1, nstate), likewise, the rows of one start `stride` floats after the other's. Without
  // particles by the networks' mean; else as particle number `particle` of positions first, first + 1, ...
  // known: or null
  void (*open_loop)(const Model* model, const Particles* particles, int particle, std::uint32_t first,
                    const Known* known, const float* states, const float* actions, int n, int horizon,
                    float* out, std::int64_t stride, float* scratch);
  // scratch: that of the model, then that of the actor's
  void (*follow)(const Follow* work, float* scratch);
  // n <= tile states (n, nstate), less the centres, and actions (n, naction), through network `member`: the
  // predicted next states, less the centres, and their deviations (zeros without a variance head), both
  // (n, nstate)
  void (*predict)(const Model* model, int member, const float* states, const float* actions, int n,
                  float* next, float* deviation, float* scratch);
  // n <= tile states (n, nstate), less the centres -> values (n); `scratch` floats of the value's model
  void (*value)(const Value* value, const float* states, int n, float* out, float* scratch);
  // plain MLP: n <= tile inputs (n, ninput) -> out (n, noutput); `scratch` floats of a Model with this
  // network
  void (*forward)(const Net* net, const float* in, int n, float* out, float* scratch);
  // actions of candidates first .. first + n - 1 (n <= group; of proposal->positions where there are some),
  // as Rollout reads them; scratch: horizon * tile
  void (*propose)(const Proposal* proposal, std::int64_t first, int n, float* actions, int stride,
                  float* scratch);
  // one input through layers with tanh between them: out[i] (rows of layer i, 64-byte aligned) gets what
  // layer i gives, the last one without tanh
  void (*policy)(const RowLayer* layer, int nlayer, const float* in, float* const* out);
  void (*product)(const Product* product);
  // functions in place, n a multiple of tile
  void (*tanh)(float* x, int n);
  void (*silu)(float* x, int n);
  void (*sine_cosine)(const float* x, int n, float* sine, float* cosine);
  double (*peak)(std::int64_t iterations);  // register-only multiply-adds; returns how many were done
};

// One per instruction set compiled in; null otherwise.
const Table* portable_table();
const Table* avx2_table();
const Table* avx512_table();
const Table* neon_table();

}  // namespace mbmf::kernel

#endif  // MBMF_KERNEL_KERNEL_H_
