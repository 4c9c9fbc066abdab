#include "mbmf/task/motion.h"

#include <algorithm>
#include <cmath>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

constexpr std::size_t kMostRows = 1'000'000;
constexpr int kMostColumns = 10'000;

void check_finite(double x, const std::string& where) {
  if (!std::isfinite(x)) throw_invalid(where, " must be finite, got ", x);
}

void check_body(int body, const mjModel* m, const std::string& where) {
  if (body < 0 || body >= m->nmocap) {
    throw_invalid(where, ".body must be a mocap body in [0, ", m->nmocap, "), got ", body);
  }
}

}  // namespace

void Reference::blend(double t, int first, int count, double* out) const {
  const double end = time.back();
  if (loop && end > 0) {
    t = std::fmod(t, end);
    if (t < 0) t += end;
  }
  // the first row that is later
  const auto later = std::upper_bound(time.begin(), time.end(), t);
  const auto n = static_cast<std::size_t>(columns);
  const std::size_t row = later == time.begin() ? 0 : static_cast<std::size_t>(later - time.begin()) - 1;
  const bool is_between = later != time.begin() && later != time.end();
  const double share = is_between ? (t - time[row]) / (time[row + 1] - time[row]) : 0;
  const double *from = value.data() + row * n, *to = is_between ? from + n : from;
  for (int i = 0; i < count; ++i) out[i] = from[first + i] + share * (to[first + i] - from[first + i]);
  for (const int q : quaternion) {
    if (q < first || q >= first + count) continue;
    // the shorter way round: q and -q are one rotation
    double dot = 0;
    for (int i = q; i < q + 4; ++i) dot += from[i] * to[i];
    for (int i = q; i < q + 4 && dot < 0; ++i) out[i - first] = from[i] - share * (to[i] + from[i]);
    mju_normalize4(out + (q - first));
  }
}

double Reference::at(double t, int column) const {
  for (const int q : quaternion) {
    if (column < q || column >= q + 4) continue;
    double four[4];
    blend(t, q, 4, four);
    return four[column - q];
  }
  double x;
  blend(t, column, 1, &x);
  return x;
}

void check_reference(const Reference& reference, const std::string& where) {
  const std::size_t rows = reference.time.size();
  if (rows < 1 || rows > kMostRows) {
    throw_invalid(where, ".time must be 1 to ", kMostRows, " rows, got ", rows);
  }
  if (reference.columns < 1 || reference.columns > kMostColumns) {
    throw_invalid(where, ".columns must be in [1, ", kMostColumns, "], got ", reference.columns);
  }
  if (reference.value.size() != rows * static_cast<std::size_t>(reference.columns)) {
    throw_invalid(where, ".value must be ", rows, " rows of ", reference.columns, " numbers, got ",
                  reference.value.size());
  }
  for (const double x : reference.value) check_finite(x, where + ".value");
  for (std::size_t i = 0; i < rows; ++i) {
    check_finite(reference.time[i], where + ".time");
    if (i == 0 ? reference.time[0] != 0 : !(reference.time[i] > reference.time[i - 1])) {
      throw_invalid(where, ".time must begin with 0 and increase, got ", reference.time[i], " at row ", i);
    }
  }
  for (const int first : reference.quaternion) {
    if (first < 0 || first > reference.columns - 4) {
      throw_invalid(where, ".quaternion must be first columns of four, got ", first);
    }
    for (std::size_t row = 0; row < rows; ++row) {
      const double* q = reference.value.data() + row * static_cast<std::size_t>(reference.columns) + first;
      if (!(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3] > 1e-6)) {
        throw_invalid(where, ".value must hold quaternions of a length above 0, got one without at row ",
                      row);
      }
    }
  }
}

void check_follow(const MocapFollow& follow, const std::vector<Reference>& references, const mjModel* m,
                  const std::string& where) {
  check_body(follow.body, m, where);
  if (follow.reference < 0 || follow.reference >= static_cast<int>(references.size())) {
    throw_invalid(where, ".reference must be in [0, ", references.size(), "), got ", follow.reference);
  }
  const Reference& reference = references[static_cast<std::size_t>(follow.reference)];
  if (follow.position < -1 || follow.position > reference.columns - 3) {
    throw_invalid(where, ".position must be the first of three columns, or -1, got ", follow.position);
  }
  if (follow.quaternion < -1 || follow.quaternion > reference.columns - 4) {
    throw_invalid(where, ".quaternion must be the first of four columns, or -1, got ", follow.quaternion);
  }
}

void check_move(const MocapMove& move, const mjModel* m, const std::string& where) {
  check_body(move.body, m, where);
  if (move.kind < MocapMove::Kind::kPosition || move.kind > MocapMove::Kind::kTurn) {
    throw_invalid(where, ".kind must be a kind of move, got ", static_cast<int>(move.kind));
  }
  if (move.axis < 0 || move.axis > 2) throw_invalid(where, ".axis must be 0, 1 or 2, got ", move.axis);
  const bool is_position = move.kind == MocapMove::Kind::kPosition;
  if (std::isnan(move.low) || std::isnan(move.high) || !(move.low <= move.high) ||
      (is_position && !(std::isfinite(move.low) && std::isfinite(move.high)))) {
    throw_invalid(where, " must be within low <= high, got low ", move.low, " and high ", move.high);
  }
  if (!is_position && !(move.speed > 0 && std::isfinite(move.speed))) {
    throw_invalid(where, ".speed must be finite and above 0, got ", move.speed);
  }
}

void move_mocap(const MocapMove& move, double action, double timestep, mjData* d) {
  mjtNum& x = d->mocap_pos[3 * move.body + move.axis];
  switch (move.kind) {
    case MocapMove::Kind::kPosition:
      x = (move.low + move.high) / 2 + (move.high - move.low) / 2 * action;
      break;
    case MocapMove::Kind::kVelocity:
      // from outside it comes back at its speed
      x = std::clamp(x + move.speed * action * timestep, std::min(move.low, x), std::max(move.high, x));
      break;
    case MocapMove::Kind::kTurn: {
      mjtNum velocity[3] = {0, 0, 0};
      velocity[move.axis] = move.speed * action;
      mju_quatIntegrate(d->mocap_quat + 4 * move.body, velocity, timestep);
      break;
    }
  }
}

}  // namespace mbmf
