#include "planning/searches.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

constexpr int kMaxColoured = 1024;  // steps: the matrix has their square

}  // namespace

SearchOption execute_option(bool mean) {
  return {"execute", mean ? 1.0 : 0.0, 0, 1, true, false, {"best", "mean"}, "which sequence is executed"};
}

SearchOption rounds_option(int rounds) {
  return {"rounds", static_cast<double>(rounds),    1, kMaxRounds - 1, true, false,
          {},       "rounds of candidates, at most"};
}

SearchOption deviation_option(double deviation) {
  return {"std", deviation, 0,  100,
          false, true,      {}, "deviation of the candidates at first (actions are in [-1, 1])"};
}

SearchOption colour_option(double colour) {
  return {"colour", colour, 0, 10, false, false, {}, "exponent of the noise's spectrum over time; 0: white"};
}

void shift_sequence(const float* sequence, const PlanShape& shape, std::uint64_t steps, bool zeros,
                    float* shifted) {
  const auto horizon = static_cast<std::uint64_t>(shape.horizon);
  const auto naction = static_cast<std::ptrdiff_t>(shape.naction);
  const auto gone = static_cast<std::ptrdiff_t>(std::min(steps, horizon));
  const std::ptrdiff_t stay = shape.horizon - gone;
  const float* last = sequence + (shape.horizon - 1) * naction;
  std::copy_n(sequence + gone * naction, stay * naction, shifted);
  for (std::ptrdiff_t row = stay; row < shape.horizon; ++row) {
    if (zeros) {
      std::fill_n(shifted + row * naction, naction, 0.0f);
    } else if (shifted + row * naction != last) {
      std::copy_n(last, naction, shifted + row * naction);
    }
  }
}

void shift_plan(const float* actions, int horizon, int naction, float* shifted, std::uint64_t steps) {
  shift_sequence(actions, {horizon, naction, 0}, steps, false, shifted);
}

void refit(const std::vector<const float*>& sequences, std::size_t size, double keep, bool root, float* mean,
           float* spread) {
  const double n = static_cast<double>(sequences.size());
  for (std::size_t i = 0; i < size; ++i) {
    double sum = 0, squares = 0;
    for (const float* sequence : sequences) sum += static_cast<double>(sequence[i]);
    const double centre = sum / n;
    for (const float* sequence : sequences) {
      const double difference = static_cast<double>(sequence[i]) - centre;
      squares += difference * difference;
    }
    const double width = root ? std::sqrt(squares / n) : squares / n;
    mean[i] = static_cast<float>(keep * static_cast<double>(mean[i]) + (1 - keep) * centre);
    spread[i] = static_cast<float>(keep * static_cast<double>(spread[i]) + (1 - keep) * width);
  }
}

std::vector<float> colour_matrix(int horizon, double exponent) {
  const int half = horizon / 2;
  std::vector<double> scale_of(static_cast<std::size_t>(half) + 1);
  for (int k = 1; k <= half; ++k) {
    scale_of[static_cast<std::size_t>(k)] = std::pow(static_cast<double>(k) / horizon, -exponent / 2);
  }
  scale_of[0] = scale_of[1];
  double squares = 0;
  for (int k = 1; k <= half; ++k) {
    const double weight = k == half ? scale_of[static_cast<std::size_t>(k)] * (1 + horizon % 2) / 2
                                    : scale_of[static_cast<std::size_t>(k)];
    squares += weight * weight;
  }
  const double norm = 2 * std::sqrt(squares);  // the deviation of the inverse transform, times the horizon
  std::vector<float> matrix(static_cast<std::size_t>(horizon) * horizon);
  const auto set = [&](int t, int column, double value) {
    matrix[static_cast<std::size_t>(t) * horizon + column] = static_cast<float>(value / norm);
  };
  for (int t = 0; t < horizon; ++t) {
    set(t, 0, std::numbers::sqrt2 * scale_of[0]);
    for (int k = 1; 2 * k < horizon; ++k) {
      const double angle =
          2 * std::numbers::pi * static_cast<double>((std::int64_t{k} * t) % horizon) / horizon;
      set(t, 2 * k - 1, 2 * scale_of[static_cast<std::size_t>(k)] * std::cos(angle));
      set(t, 2 * k, -2 * scale_of[static_cast<std::size_t>(k)] * std::sin(angle));
    }
    if (horizon % 2 == 0) {
      set(t, horizon - 1,
          std::numbers::sqrt2 * scale_of[static_cast<std::size_t>(half)] * (t % 2 == 0 ? 1 : -1));
    }
  }
  return matrix;
}

std::vector<float> make_colour(const PlanShape& shape, double exponent) {
  if (exponent == 0) return {};
  if (shape.horizon < 2)
    throw_invalid("colour must be 0 with a horizon of 1, which has no spectrum, got ", exponent);
  if (shape.horizon > kMaxColoured) {
    throw_invalid("colour must be 0 with a horizon above ", kMaxColoured, ", got ", exponent, " and horizon ",
                  shape.horizon);
  }
  return colour_matrix(shape.horizon, exponent);
}

}  // namespace mbmf
