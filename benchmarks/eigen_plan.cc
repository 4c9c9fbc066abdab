// Compiled for the machine at hand (CMakeLists.txt), as a user's own program would be: Eigen's types stay in
// here.

#include "eigen_plan.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "mbmf/base/random.h"
#include "mbmf/base/thread_pool.h"

namespace mbmf {

using Matrix = Eigen::MatrixXf;  // column-major

struct EigenPlan::Impl {
  struct Scratch {
    Matrix x;                    // (kTile, nstate + naction)
    std::vector<Matrix> output;  // of each layer
    Eigen::ArrayXf cost, point, alive;
  };

  std::shared_ptr<const Dynamics> dynamics;
  std::vector<Term> terms;
  std::vector<StateBound> bounds;
  PlannerOptions options;
  std::vector<Matrix> weight;  // (cols, rows): a candidate is a row
  std::vector<Eigen::RowVectorXf> bias;
  ThreadPool pool;
  std::vector<Scratch> scratch;
  std::vector<float> costs;

  Impl(std::shared_ptr<const Dynamics> dynamics_in, std::vector<Term> cost, std::vector<StateBound> alive,
       const PlannerOptions& o)
      : dynamics(std::move(dynamics_in)),
        terms(std::move(cost)),
        bounds(std::move(alive)),
        options(o),
        pool(o.nthread),
        scratch(static_cast<std::size_t>(pool.nthread())),
        costs(static_cast<std::size_t>(o.candidates)) {
    for (const Layer& layer : dynamics->mlp().layers()) {
      // the row-major (rows, cols) of a layer is the column-major (cols, rows) that is wanted
      weight.emplace_back(Eigen::Map<const Matrix>(layer.weight.data(), layer.cols, layer.rows));
      bias.emplace_back(Eigen::Map<const Eigen::RowVectorXf>(layer.bias.data(), layer.rows));
    }
    for (Scratch& s : scratch) {
      s.x.resize(kTile, weight.front().rows());
      for (const Matrix& w : weight) s.output.emplace_back(kTile, w.cols());
      s.cost.resize(kTile);
      s.point.resize(kTile);
      s.alive.resize(kTile);
    }
  }

  void draw(Scratch& s, PhiloxKey key, std::uint64_t step, std::int64_t first, int time) const {
    const int nstate = dynamics->nstate(), naction = dynamics->naction();
    for (int row = 0; row < kTile; ++row) {
      PhiloxBlock words{};
      for (int i = 0; i < naction; ++i) {
        const auto draw = static_cast<std::uint32_t>(time * naction + i);
        if (i == 0 || draw % 4 == 0) {
          words = draw_block(key, step, static_cast<std::uint32_t>(first + row), draw / 4);
        }
        s.x(row, nstate + i) = to_symmetric(words[draw % 4]);
      }
    }
  }

  void add_point(Scratch& s) const {
    const int nstate = dynamics->nstate(), naction = dynamics->naction();
    s.point.setZero();
    for (const Term& term : terms) {
      const auto factor = static_cast<float>(term.weight);
      if (term.kind == TermKind::kConstant) {
        s.point += factor;
      } else if (term.kind == TermKind::kAction) {
        s.point += factor * s.x.middleCols(nstate, naction).rowwise().squaredNorm().array();
      } else {
        for (const int index : term.index) s.point += factor * s.x.col(index).array();
      }
    }
    for (const StateBound& bound : bounds) {
      const auto low = static_cast<float>(bound.bounds.low), high = static_cast<float>(bound.bounds.high);
      const auto state = s.x.col(bound.index).array();
      s.alive *= ((state > low) && (state < high)).cast<float>();
    }
    if (bounds.empty()) {
      s.cost += s.point;
    } else {
      s.cost += s.alive * s.point;
    }
  }

  void roll(Scratch& s, const float* state, PhiloxKey key, std::uint64_t step, std::int64_t first) {
    const int nstate = dynamics->nstate();
    for (int i = 0; i < nstate; ++i) s.x.col(i).setConstant(state[i]);
    s.cost.setZero();
    s.alive.setOnes();
    for (int time = 0; time < options.horizon; ++time) {
      draw(s, key, step, first, time);
      add_point(s);
      s.output[0].noalias() = s.x * weight[0];
      for (std::size_t i = 1; i < weight.size(); ++i) {
        s.output[i - 1] = (s.output[i - 1].rowwise() + bias[i - 1]).cwiseMax(0.0f);
        s.output[i].noalias() = s.output[i - 1] * weight[i];
      }
      s.x.leftCols(nstate) += s.output.back().rowwise() + bias.back();
    }
    add_point(s);
    const std::int64_t count = std::min<std::int64_t>(kTile, options.candidates - first);
    std::copy_n(s.cost.data(), count, costs.begin() + first);
  }
};

EigenPlan::EigenPlan(std::shared_ptr<const Dynamics> dynamics, std::vector<Term> cost,
                     std::vector<StateBound> alive, const PlannerOptions& options) {
  for (const Term& term : cost) {
    if (term.kind != TermKind::kLinear && term.kind != TermKind::kConstant &&
        term.kind != TermKind::kAction) {
      throw std::invalid_argument("cost must have linear, constant and action terms only");
    }
  }
  if (dynamics->mlp().activation() != Activation::kRelu) {
    throw std::invalid_argument("the network must have ReLU");
  }
  impl_ = std::make_unique<Impl>(std::move(dynamics), std::move(cost), std::move(alive), options);
}

EigenPlan::~EigenPlan() = default;

std::int64_t EigenPlan::plan(const double* state, std::uint64_t episode, std::uint64_t step) {
  Impl& m = *impl_;
  std::vector<float> start(state, state + m.dynamics->nstate());
  const PhiloxKey key = derive_key(m.options.seed, Stream::kPlan, episode);
  m.pool.parallel_for((m.options.candidates + kTile - 1) / kTile, [&](std::int64_t tile, int thread) {
    m.roll(m.scratch[static_cast<std::size_t>(thread)], start.data(), key, step, tile * kTile);
  });
  return std::min_element(m.costs.begin(), m.costs.end()) - m.costs.begin();
}

const std::vector<float>& EigenPlan::costs() const { return impl_->costs; }

std::int64_t EigenPlan::scratch_bytes() const {
  const Impl::Scratch& s = impl_->scratch.front();
  Eigen::Index floats = s.x.size() + s.cost.size() + s.point.size() + s.alive.size();
  for (const Matrix& output : s.output) floats += output.size();
  return static_cast<std::int64_t>(floats) * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace mbmf
