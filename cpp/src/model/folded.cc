#include "model/folded.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// A state is kept less its mean where float32 would lose digits: a mean of so many deviations, or one as
// large as this.
constexpr double kManyDeviations = 1000, kLargeMean = 4096;

StateInput kind_of(const std::vector<StateInput>& input, std::size_t i) {
  return input.empty() ? StateInput::kValue : input[i];
}

float centre_of(double mean, double deviation) {
  const double size = std::abs(mean);
  const bool many = deviation > 0 && size > kManyDeviations * deviation;
  return many || size > kLargeMean ? static_cast<float>(mean) : 0.0f;
}

}  // namespace

void check_normalization(const Normalization& normalization, int size, const char* what) {
  const std::size_t n = static_cast<std::size_t>(size);
  if (normalization.mean.size() != n || normalization.std.size() != n) {
    throw_invalid(what, " normalization must have ", n, " means and deviations, got ",
                  normalization.mean.size(), " and ", normalization.std.size());
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (!std::isfinite(normalization.mean[i])) {
      throw_invalid(what, " mean must be finite, got ", normalization.mean[i], " at entry ", i);
    }
    if (!(normalization.std[i] >= 0 && std::isfinite(normalization.std[i]))) {
      throw_invalid(what, " deviation must be finite and not negative, got ", normalization.std[i],
                    " at entry ", i);
    }
  }
}

void check_inputs(const std::vector<StateInput>& input, int nstate) {
  if (!input.empty() && input.size() != static_cast<std::size_t>(nstate))
    throw_invalid("inputs must have ", nstate, " entries, got ", input.size());
  for (const StateInput kind : input) {
    const int number = static_cast<int>(kind);
    if (number < 0 || number > 5) {
      throw_invalid(
          "inputs must be values, sines and cosines, rotations, verticals, vectors in a body's frame or "
          "nothing, got number ",
          number);
    }
  }
  if (!in_groups(input, StateInput::kRotation, 4) || !in_groups(input, StateInput::kVertical, 4)) {
    throw_invalid(
        "inputs must be rotations or verticals for four states together, got other numbers of them");
  }
  if (!in_groups(input, StateInput::kBody, 3)) {
    throw_invalid("inputs must be in a body's frame for three states together, got other numbers of them");
  }
  if (std::find(input.begin(), input.end(), StateInput::kBody) != input.end() && frame_of(input) < 0) {
    throw_invalid(
        "inputs in a body's frame need one quaternion that is seen as a rotation or a vertical, got none, or "
        "several");
  }
}

int frame_of(const std::vector<StateInput>& input) {
  const auto turns = [](StateInput kind) {
    return kind == StateInput::kRotation || kind == StateInput::kVertical;
  };
  if (std::count_if(input.begin(), input.end(), turns) != 4) return -1;
  return static_cast<int>(std::find_if(input.begin(), input.end(), turns) - input.begin());
}

void fold_input(Layer& layer, const std::vector<double>& mean, const std::vector<double>& std) {
  const Eigen::MatrixXd weight =
      Eigen::Map<const RowMatrix>(layer.weight.data(), layer.rows, layer.cols).cast<double>();
  const auto n = static_cast<Eigen::Index>(mean.size());
  Eigen::VectorXd scale(n);
  for (Eigen::Index i = 0; i < n; ++i) scale[i] = std[i] > 0 ? 1.0 / std[i] : 0.0;
  const Eigen::MatrixXd folded = weight * scale.asDiagonal();
  Eigen::Map<Eigen::VectorXf> bias(layer.bias.data(), layer.rows);
  bias =
      (bias.cast<double>() - folded * Eigen::Map<const Eigen::VectorXd>(mean.data(), n)).cast<float>().eval();
  Eigen::Map<RowMatrix>(layer.weight.data(), layer.rows, layer.cols) = folded.cast<float>();
}

void fold_output(Layer& layer, const std::vector<double>& mean_of, const std::vector<double>& std_of) {
  const auto rows = static_cast<Eigen::Index>(mean_of.size());
  const Eigen::Map<const Eigen::VectorXd> std(std_of.data(), rows), mean(mean_of.data(), rows);
  Eigen::Map<RowMatrix> weight(layer.weight.data(), rows, layer.cols);
  weight = (std.asDiagonal() * weight.cast<double>()).cast<float>().eval();
  Eigen::Map<Eigen::VectorXf> bias(layer.bias.data(), rows);
  bias = (bias.cast<double>().cwiseProduct(std) + mean).cast<float>().eval();
}

std::vector<int> seen_of_each(const std::vector<StateInput>& input) {
  std::vector<int> each;
  int left = 0;  // of a quaternion or a vector, whose first state gave all
  for (const StateInput kind : input) {
    int count = 0;
    if (left > 0) {
      --left;
    } else {
      switch (kind) {
        case StateInput::kValue:
          count = 1;
          break;
        case StateInput::kSineCosine:
          count = 2;
          break;
        case StateInput::kNothing:
          break;
        case StateInput::kRotation:
          count = kernel::kRotationRows;
          left = 3;
          break;
        case StateInput::kVertical:
          count = 3;
          left = 3;
          break;
        case StateInput::kBody:
          count = 3;
          left = 2;
          break;
      }
    }
    each.push_back(count);
  }
  return each;
}

std::vector<int> seen_of(const std::vector<StateInput>& input, int nstate) {
  return input.empty() ? std::vector<int>(static_cast<std::size_t>(nstate), 1) : seen_of_each(input);
}

int count_seen(const std::vector<StateInput>& input, int nstate) {
  const std::vector<int> each = seen_of(input, nstate);
  return std::accumulate(each.begin(), each.end(), 0);
}

std::vector<float> centres_of(const std::vector<StateInput>& input, int nstate, const Normalization& state,
                              const Normalization& whole) {
  const std::vector<int> seen = seen_of(input, nstate);
  std::vector<float> out(static_cast<std::size_t>(nstate), 0.0f);
  std::size_t at = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const StateInput kind = kind_of(input, i);
    if (kind == StateInput::kValue) out[i] = centre_of(state.mean[at], state.std[at]);
    if (kind == StateInput::kNothing && !whole.mean.empty()) out[i] = centre_of(whole.mean[i], whole.std[i]);
    at += static_cast<std::size_t>(seen[i]);
  }
  const bool none = std::all_of(out.begin(), out.end(), [](float x) { return x == 0; });
  return none ? std::vector<float>() : out;
}

Normalization less_centres(const std::vector<StateInput>& input, const Normalization& state,
                           const std::vector<float>& centre) {
  Normalization out = state;
  const std::vector<int> seen = seen_of(input, static_cast<int>(centre.size()));
  std::size_t at = 0;
  for (std::size_t i = 0; i < centre.size(); ++i) {
    if (kind_of(input, i) == StateInput::kValue) out.mean[at] -= static_cast<double>(centre[i]);
    at += static_cast<std::size_t>(seen[i]);
  }
  return out;
}

std::vector<kernel::Input> kernel_inputs(const std::vector<StateInput>& input) {
  std::vector<kernel::Input> out;
  const std::vector<int> seen = seen_of_each(input);
  const int frame = frame_of(input);
  for (std::size_t i = 0; i < input.size(); ++i) {
    const int state = static_cast<int>(i);
    if (input[i] == StateInput::kValue) out.push_back({state, kernel::InputKind::kNumber});
    if (input[i] == StateInput::kSineCosine) {
      out.push_back({state, kernel::InputKind::kSine});
      out.push_back({state, kernel::InputKind::kCosine});
    }
    if (input[i] == StateInput::kRotation) {
      for (int k = 0; k < seen[i]; ++k) out.push_back({state, kernel::InputKind::kRotation});
    }
    if (input[i] == StateInput::kVertical) {
      // the last row of the quaternion's matrix
      for (int k = 0; k < seen[i]; ++k) out.push_back({state, kernel::InputKind::kMatrix, 6 + k});
    }
    if (input[i] == StateInput::kBody) {
      for (int k = 0; k < seen[i]; ++k) out.push_back({state, kernel::InputKind::kBody, frame});
    }
  }
  return out;
}

}  // namespace mbmf
