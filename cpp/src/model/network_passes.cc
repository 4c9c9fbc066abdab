#include "mbmf/model/network_passes.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

#include "base/cpu.h"
#include "kernel/kernel.h"
#include "mbmf/base/error.h"
#include "mbmf/base/thread_pool.h"
#include "model/packed_mlp.h"

namespace mbmf {

namespace {

using kernel::Factors;
using kernel::Product;

constexpr std::int64_t kRowsAtOnce =
    240;  // whose temporaries stay in L2; a multiple of every kernel's row block
// Blocks whose sum a thread makes at a time: few enough to share evenly, and at most kMostSums sums are kept.
constexpr std::int64_t kBlocksAtOnce = 5;
constexpr std::int64_t kMostSums = 64;

int padded(int n) { return (n + kernel::kRowPad - 1) / kernel::kRowPad * kernel::kRowPad; }

AlignedFloats matrix(std::int64_t rows, std::int64_t cols) {
  return AlignedFloats(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
}

// One layer's part of a vector of parameters, with zeros up to the padded widths.
struct PackedPart {
  AlignedFloats by_col;  // weights (cols, padded rows), then the biases (padded rows)
  AlignedFloats by_row;  // weights (rows, padded cols)
};

PackedPart pack(const float* parameters, int rows, int cols) {
  PackedPart part{matrix(cols + 1, padded(rows)), matrix(rows, padded(cols))};
  const std::ptrdiff_t height = padded(rows), width = padded(cols);
  for (int r = 0; r < rows; ++r) {
    for (int k = 0; k < cols; ++k) {
      const float weight = parameters[static_cast<std::ptrdiff_t>(r) * cols + k];
      part.by_col.data()[k * height + r] = weight;
      part.by_row.data()[r * width + k] = weight;
    }
  }
  std::copy_n(parameters + static_cast<std::ptrdiff_t>(rows) * cols, rows,
              part.by_col.data() + cols * height);
  return part;
}

std::vector<PackedPart> pack_all(const std::vector<int>& sizes, const float* parameters) {
  std::vector<PackedPart> parts;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    parts.push_back(pack(parameters, sizes[i + 1], sizes[i]));
    parameters += static_cast<std::ptrdiff_t>(sizes[i] + 1) * sizes[i + 1];
  }
  return parts;
}

}  // namespace

struct NetworkPasses::Packed {
  const kernel::Table& table;
  std::vector<PackedPart> layers;
};

// A block of rows on its way through the network, and memory for it. What a layer gives, and changes of it,
// are (n, padded width); gradients of weights and biases are by columns, as PackedPart::by_col.
class NetworkPasses::Block {
 public:
  explicit Block(const NetworkPasses& network)
      : table_(network.packed_->table), layers_(network.packed_->layers), sizes_(network.sizes_) {
    const int widest = padded(*std::max_element(sizes_.begin() + 1, sizes_.end()));
    for (AlignedFloats& buffer : buffers_) buffer = matrix(kRowsAtOnce, widest + table_.tile);
    for (int i = 0; i < nlayer(); ++i) {
      gradients_.push_back(matrix(cols(i) + 1, padded(rows(i))));
      nsum_ += static_cast<std::int64_t>(gradients_.back().size());
    }
  }

  int n() const { return n_; }
  std::int64_t nsum() const { return nsum_; }

  // The next block: n rows, `first` and on.
  void take(const PassRows& all, std::int64_t first, int n) {
    n_ = n;
    nahead_ = std::min(kRowsAtOnce, all.n - first - n);
    inputs_.assign(1, all.inputs + first * cols(0));
    for (std::size_t i = 0; i < all.hidden.size(); ++i)
      inputs_.push_back(all.hidden[i] + first * sizes_[i + 1]);
  }

  // What layer i makes of x (n, cols).
  float* forward(int i, const float* x, std::ptrdiff_t x_row) {
    float* const out = buffers_[i % 2].data();
    const int height = padded(rows(i));
    multiply(n_, height, bias(layers_[at(i)], i),
             {{x, x_row, 1, layers_[at(i)].by_col.data(), height, cols(i)}}, out);
    if (i + 1 < nlayer()) table_.tanh(out, (n_ * height + table_.tile - 1) / table_.tile * table_.tile);
    return out;
  }

  // J v: how the outputs change along v, by the chain rule forward.
  float* jacobian_vector(const std::vector<PackedPart>& v) {
    float* dx = nullptr;
    for (int i = 0; i < nlayer(); ++i) {
      const int height = padded(rows(i));
      float* const dz = buffers_[i % 2].data();
      std::vector<Factors> factors{{inputs_[at(i)], cols(i), 1, v[at(i)].by_col.data(), height, cols(i)}};
      if (i > 0) factors.push_back({dx, padded(cols(i)), 1, layers_[at(i)].by_col.data(), height, cols(i)});
      multiply(n_, height, bias(v[at(i)], i), factors, dz, i + 1 < nlayer() ? i + 1 : 0,
               inputs_[at(i)] + n_ * cols(i), nahead_ * cols(i));
      dx = dz;
    }
    return dx;
  }

  // Where the changes of the outputs are kept.
  float* outputs() { return buffers_[(nlayer() - 1) % 2].data(); }

  // Adds J' u to the sums (nsum), by the chain rule backward, for u that is in `outputs`.
  void add_vector_jacobian(float* sums) {
    float* sum = sums + nsum_;
    static constexpr float kOne = 1;
    for (int i = nlayer() - 1; i >= 0; --i) {
      const int height = padded(rows(i)), width = padded(cols(i));
      const float* const dz = buffers_[i % 2].data();
      float* const gradient = gradients_[at(i)].data();
      if (by_rows(i)) {
        multiply(rows(i), width, nullptr, {{dz, 1, height, inputs_[at(i)], width, n_}}, gradient);
      } else {
        multiply(cols(i), height, nullptr, {{inputs_[at(i)], 1, cols(i), dz, height, n_}}, gradient);
      }
      multiply(1, height, nullptr, {{&kOne, 1, 0, dz, height, n_}}, gradient + cols(i) * height);
      const std::size_t size = gradients_[at(i)].size();
      sum -= size;
      for (std::size_t k = 0; k < size; ++k) sum[k] += gradient[k];
      if (i == 0) return;
      float* const below = buffers_[(i - 1) % 2].data();
      multiply(n_, width, nullptr, {{dz, height, 1, layers_[at(i)].by_row.data(), width, rows(i)}}, below, i);
    }
  }

  // The sums in the order of the parameters.
  void write(const double* sum, double* result) const {
    for (int i = 0; i < nlayer(); ++i) {
      const std::ptrdiff_t height = padded(rows(i));
      for (int r = 0; r < rows(i); ++r) {
        for (int k = 0; k < cols(i); ++k) *result++ = sum[by_rows(i) ? r * cols(i) + k : k * height + r];
      }
      result = std::copy_n(sum + cols(i) * height, rows(i), result);
      sum += gradients_[at(i)].size();
    }
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  int nlayer() const { return static_cast<int>(layers_.size()); }
  int rows(int i) const { return sizes_[at(i) + 1]; }
  int cols(int i) const { return sizes_[at(i)]; }
  // Whether the gradient of layer i's weights is by rows: where they are few, little of a vector would be
  // used.
  bool by_rows(int i) const { return rows(i) < cols(i) && cols(i) == padded(cols(i)); }
  const float* bias(const PackedPart& part, int i) const {
    return part.by_col.data() + static_cast<std::ptrdiff_t>(cols(i)) * padded(rows(i));
  }

  // out = start + the products; `hidden`, unless 0: through the tanh that gave the inputs of that layer.
  // `ahead` (nahead): what the next block needs.
  void multiply(int rows, int cols, const float* start, const std::vector<Factors>& factors, float* out,
                int hidden = 0, const float* ahead = nullptr, std::int64_t nahead = 0) {
    const float* const y = hidden > 0 ? inputs_[at(hidden)] : nullptr;
    Product product{rows, cols, start, {},    static_cast<int>(factors.size()), y, sizes_[at(hidden)],
                    out,  cols, ahead, nahead};
    std::copy(factors.begin(), factors.end(), product.factors);
    table_.product(&product);
  }

  const kernel::Table& table_;
  const std::vector<PackedPart>& layers_;
  const std::vector<int>& sizes_;
  int n_ = 0;
  std::int64_t nahead_ = 0;           // rows of the next block
  std::vector<const float*> inputs_;  // of each layer
  AlignedFloats buffers_[2];          // of the layers in turn
  std::vector<AlignedFloats> gradients_;
  std::int64_t nsum_ = 0;
};

NetworkPasses::NetworkPasses(std::vector<int> sizes, const float* parameters) : sizes_(std::move(sizes)) {
  if (sizes_.size() < 2) throw_invalid("sizes must be at least two, got ", sizes_.size());
  for (const int size : sizes_) {
    if (size < 1) throw_invalid("sizes must be positive, got ", size);
  }
  for (std::size_t i = 0; i + 1 < sizes_.size(); ++i) {
    nparameter_ += (std::int64_t{sizes_[i]} + 1) * sizes_[i + 1];
  }
  packed_ = std::make_unique<const Packed>(Packed{select_kernels(), pack_all(sizes_, parameters)});
}

NetworkPasses::~NetworkPasses() = default;
NetworkPasses::NetworkPasses(NetworkPasses&&) noexcept = default;
NetworkPasses& NetworkPasses::operator=(NetworkPasses&&) noexcept = default;

namespace {

std::int64_t count_parts(std::int64_t n, std::int64_t size) { return (n + size - 1) / size; }

// rows (n, width), of which those of `from` are `from_width` apart and those of `to` `to_width`
void copy_rows(const float* from, int from_width, int n, int width, float* to, int to_width) {
  for (int r = 0; r < n; ++r) {
    std::copy_n(from + static_cast<std::ptrdiff_t>(r) * from_width, width,
                to + static_cast<std::ptrdiff_t>(r) * to_width);
  }
}

}  // namespace

void NetworkPasses::forward(std::int64_t n, const float* inputs, float* outputs,
                            const std::vector<float*>& hidden, int nthread) const {
  const int nlayer = static_cast<int>(sizes_.size()) - 1;
  const std::int64_t nblock = count_parts(n, kRowsAtOnce);
  ThreadPool pool(static_cast<int>(std::clamp<std::int64_t>(nblock, 1, resolve_nthread(nthread))));
  std::vector<Block> blocks;
  blocks.reserve(static_cast<std::size_t>(pool.nthread()));
  for (int i = 0; i < pool.nthread(); ++i) blocks.emplace_back(*this);
  pool.parallel_for(nblock, [&](std::int64_t number, int thread) {
    const std::int64_t first = number * kRowsAtOnce;
    const int count = static_cast<int>(std::min(kRowsAtOnce, n - first));
    Block& block = blocks[static_cast<std::size_t>(thread)];
    block.take({n, inputs, {}}, first, count);
    const float* x = inputs + first * sizes_.front();
    int x_row = sizes_.front();
    for (int i = 0; i < nlayer; ++i) {
      x = block.forward(i, x, x_row);
      const int width = sizes_[static_cast<std::size_t>(i) + 1];
      x_row = padded(width);
      float* const to = i + 1 == nlayer  ? outputs
                        : hidden.empty() ? nullptr
                                         : hidden[static_cast<std::size_t>(i)];
      if (to != nullptr) copy_rows(x, x_row, count, width, to + first * width, width);
    }
  });
}

// result = the sum of what part(block, sums) adds to the sums for every block of rows.
template <typename Part>
void NetworkPasses::sum_blocks(const PassRows& rows, double* result, int nthread, const Part& part) const {
  const std::int64_t nblock = count_parts(rows.n, kRowsAtOnce);
  const std::int64_t together = std::max(kBlocksAtOnce, count_parts(nblock, kMostSums));
  const std::int64_t nsums = count_parts(nblock, together);
  ThreadPool pool(static_cast<int>(std::clamp<std::int64_t>(nsums, 1, resolve_nthread(nthread))));
  std::vector<Block> blocks;
  blocks.reserve(static_cast<std::size_t>(pool.nthread()));
  for (int i = 0; i < pool.nthread(); ++i) blocks.emplace_back(*this);
  const std::int64_t nsum = blocks.front().nsum();
  AlignedFloats sums = matrix(nsums, static_cast<std::int64_t>(nsum));
  pool.parallel_for(nsums, [&](std::int64_t number, int thread) {
    Block& block = blocks[static_cast<std::size_t>(thread)];
    const std::int64_t end = std::min(rows.n, (number + 1) * together * kRowsAtOnce);
    for (std::int64_t first = number * together * kRowsAtOnce; first < end; first += kRowsAtOnce) {
      block.take(rows, first, static_cast<int>(std::min(kRowsAtOnce, end - first)));
      part(block, first, sums.data() + number * nsum);
    }
  });
  std::vector<double> total(static_cast<std::size_t>(nsum));
  for (std::int64_t i = 0; i < nsums; ++i) {
    const float* const sum = sums.data() + i * nsum;
    for (std::int64_t k = 0; k < nsum; ++k) total[static_cast<std::size_t>(k)] += static_cast<double>(sum[k]);
  }
  blocks.front().write(total.data(), result);
}

void NetworkPasses::gradient(const PassRows& rows, const float* u, double* result, int nthread) const {
  const int noutput = sizes_.back();
  sum_blocks(rows, result, nthread, [&](Block& block, std::int64_t first, float* sums) {
    copy_rows(u + first * noutput, noutput, block.n(), noutput, block.outputs(), padded(noutput));
    block.add_vector_jacobian(sums);
  });
}

void NetworkPasses::gauss_newton(const PassRows& rows, const float* v, const float* w, double* result,
                                 int nthread) const {
  const std::vector<PackedPart> direction = pack_all(sizes_, v);
  const int noutput = sizes_.back();
  sum_blocks(rows, result, nthread, [&](Block& block, std::int64_t, float* sums) {
    float* change = block.jacobian_vector(direction);
    for (int r = 0; r < block.n(); ++r, change += padded(noutput)) {
      for (int i = 0; i < noutput; ++i) change[i] *= w[i];
    }
    block.add_vector_jacobian(sums);
  });
}

}  // namespace mbmf
