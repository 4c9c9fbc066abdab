#include "model/predictor.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "base/cpu.h"
#include "mbmf/base/error.h"
#include "mbmf/base/thread_pool.h"
#include "mbmf/model/dynamics.h"
#include "model/packed_dynamics.h"

namespace mbmf {

namespace {

// rollouts in pieces of at most a tile, on threads: piece(first, n, scratch)
template <class Piece>
void in_tiles(const PackedDynamics& packed, const kernel::Table& table, std::int64_t n, int nthread,
              const Piece& piece) {
  const std::int64_t tiles = (n + table.tile - 1) / table.tile;
  ThreadPool pool(static_cast<int>(std::clamp<std::int64_t>(tiles, 1, resolve_nthread(nthread))));
  std::vector<AlignedFloats> scratch;
  scratch.reserve(static_cast<std::size_t>(pool.nthread()));
  for (int i = 0; i < pool.nthread(); ++i) scratch.emplace_back(packed.scratch());
  pool.parallel_for(tiles, [&](std::int64_t tile, int thread) {
    const std::int64_t first = tile * table.tile;
    piece(first, static_cast<int>(std::min<std::int64_t>(table.tile, n - first)),
          scratch[static_cast<std::size_t>(thread)].data());
  });
}

std::vector<float> to_rows(const PackedDynamics& packed, const double* states, std::int64_t n, int nstate) {
  std::vector<float> rows(static_cast<std::size_t>(n) * static_cast<std::size_t>(nstate));
  for (std::int64_t i = 0; i < n; ++i) packed.to_row(states + i * nstate, rows.data() + i * nstate);
  return rows;
}

// What is known of rollouts from n states, and the kernels' view of a piece of it.
class KnownRows {
 public:
  KnownRows(const std::shared_ptr<const KnownStates>& known, const PackedDynamics& packed,
            const double* states, std::int64_t n, int nstate, int horizon) {
    if (!known) return;
    const auto size = static_cast<std::size_t>(known->size());
    view_ = {known->size(), known->index().data(), nullptr, static_cast<std::int64_t>(size) * (horizon + 1)};
    std::vector<double> row(size * (static_cast<std::size_t>(horizon) + 1));
    values_.reserve(row.size() * static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) {
      known->predict(states + i * nstate, horizon, row.data());
      for (std::size_t k = 0; k < row.size(); ++k) {
        values_.push_back(static_cast<float>(row[k] - packed.centre(known->index()[k % size])));
      }
    }
  }

  // From start `first` on, or null. `room` is what is pointed at.
  const kernel::Known* from(std::int64_t first, kernel::Known* room) const {
    if (view_.n == 0) return nullptr;
    *room = view_;
    room->value = values_.data() + first * view_.stride;
    return room;
  }

 private:
  kernel::Known view_{};
  std::vector<float> values_;
};

}  // namespace

Predictor::Predictor(const Dynamics& dynamics)
    : dynamics_(dynamics), table_(select_kernels()), packed_(dynamics, table_, false) {}

void Predictor::open_loop(const double* states, const float* actions, std::int64_t n, int horizon, float* out,
                          int nthread) const {
  if (horizon < 1) throw_invalid("horizon must be at least 1, got ", horizon);
  const int nstate = dynamics_.nstate(), naction = dynamics_.naction();
  const std::vector<float> rows = to_rows(packed_, states, n, nstate);
  const std::int64_t stride = std::int64_t{horizon + 1} * nstate;
  const KnownRows known(dynamics_.known(), packed_, states, n, nstate, horizon);
  in_tiles(packed_, table_, n, nthread, [&](std::int64_t first, int count, float* scratch) {
    kernel::Known room{};
    table_.open_loop(&packed_.model(), nullptr, 0, 0, known.from(first, &room), rows.data() + first * nstate,
                     actions + first * horizon * naction, count, horizon, out + first * stride, stride,
                     scratch);
  });
  packed_.from_rows(out, n * (horizon + 1));
}

void Predictor::predict(const double* states, const float* actions, std::int64_t n, float* next,
                        int nthread) const {
  const std::int64_t nstate = dynamics_.nstate(), pair = 2 * nstate;
  std::vector<float> both(static_cast<std::size_t>(n * pair));
  open_loop(states, actions, n, 1, both.data(), nthread);
  for (std::int64_t i = 0; i < n; ++i)
    std::copy_n(both.data() + i * pair + nstate, nstate, next + i * nstate);
}

void Dynamics::predict(const double* states, const float* actions, std::int64_t n, float* next,
                       int nthread) const {
  Predictor(*this).predict(states, actions, n, next, nthread);
}

void Dynamics::predict_members(const double* states, const float* actions, std::int64_t n, float* next,
                               float* deviation, int nthread) const {
  const kernel::Table& table = select_kernels();
  const PackedDynamics packed(*this, table, true);
  const std::vector<float> rows = to_rows(packed, states, n, nstate_);
  in_tiles(packed, table, n, nthread, [&](std::int64_t first, int count, float* scratch) {
    for (int member = 0; member < members(); ++member) {
      const std::int64_t at = (member * n + first) * nstate_;
      table.predict(&packed.model(), member, rows.data() + first * nstate_, actions + first * naction_, count,
                    next + at, deviation + at, scratch);
    }
  });
  packed.from_rows(next, n * members());
  if (!known_) return;
  std::vector<double> both(2 * static_cast<std::size_t>(known_->size()));
  for (std::int64_t i = 0; i < n; ++i) {
    known_->predict(states + i * nstate_, 1, both.data());
    for (int k = 0; k < known_->size(); ++k) {
      const int state = known_->index()[static_cast<std::size_t>(k)];
      for (int member = 0; member < members(); ++member) {
        next[(member * n + i) * nstate_ + state] =
            static_cast<float>(both[static_cast<std::size_t>(known_->size()) + static_cast<std::size_t>(k)]);
      }
    }
  }
}

void Dynamics::open_loop(const double* states, const float* actions, std::int64_t n, int horizon, float* out,
                         int nthread) const {
  Predictor(*this).open_loop(states, actions, n, horizon, out, nthread);
}

void Dynamics::sample(const double* states, const float* actions, std::int64_t n, int horizon,
                      const Noise& noise, float* out, int nthread) const {
  if (horizon < 1) throw_invalid("horizon must be at least 1, got ", horizon);
  const kernel::Table& table = select_kernels();
  const PackedDynamics packed(*this, table, is_noisy());
  const std::vector<float> rows = to_rows(packed, states, n, nstate_);
  std::vector<std::int32_t> members(static_cast<std::size_t>(horizon) * static_cast<std::size_t>(particles_));
  packed.draw_members(noise.key, horizon, members.data());
  const kernel::Particles particles{
      particles_, cost_groups(), members.data(), {noise.key[0], noise.key[1]}, 0};
  const std::int64_t one = std::int64_t{horizon + 1} * nstate_, stride = one * particles_;
  const KnownRows known(known_, packed, states, n, nstate_, horizon);
  in_tiles(packed, table, n, nthread, [&](std::int64_t first, int count, float* scratch) {
    kernel::Known room{};
    for (int particle = 0; particle < particles_; ++particle) {
      table.open_loop(&packed.model(), &particles, particle, noise.first + static_cast<std::uint32_t>(first),
                      known.from(first, &room), rows.data() + first * nstate_,
                      actions + first * horizon * naction_, count, horizon,
                      out + first * stride + particle * one, stride, scratch);
    }
  });
  packed.from_rows(out, n * particles_ * (horizon + 1));
}

}  // namespace mbmf
