// Candidates' actions: Philox, normals, coloured noise, on the vectors of the instruction set that includes
// this file. mbmf/planning/proposal.h says what they are.

#ifndef MBMF_KERNEL_PROPOSAL_H_
#define MBMF_KERNEL_PROPOSAL_H_

#include "kernel/kernel_math.h"

namespace {

using mbmf::Proposal;
using mbmf::ProposalKind;

// one Philox4x32-10 block per lane, in place (random.cc says it in scalars)
inline void philox(const std::uint32_t* key, Word (&c)[4]) {
  std::uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    Word high0, low0, high1, low1;
    multiply_wide(0xD2511F53u, c[0], &high0, &low0);
    multiply_wide(0xCD9E8D57u, c[2], &high1, &low1);
    c[0] = high1 ^ c[1] ^ k0;
    c[1] = low1;
    c[2] = high0 ^ c[3] ^ k1;
    c[3] = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

inline Vec to_float(Word bits) { return __builtin_convertvector((Mask)bits, Vec); }  // of bits below 2^31

// uniform in [-1, 1): exact
inline Vec symmetric(Word word) { return to_float(word >> 8) * 0x1p-23f - 1.0f; }

// The natural logarithm of u in (0, 1], within 1e-7 of the exact value relative to it: u = m 2^e with m in
// [sqrt(1/2), sqrt(2)), log m by a polynomial in m - 1 (minimax).
inline Vec log_vec(Vec u) {
  const Mask bits = (Mask)u;
  const Mask exponent = (bits - 0x3f3504f3) >> 23;
  const Vec f = (Vec)(bits - (exponent << 23)) - 1.0f;
  Vec p = fma(broadcast(0.0897943452000618f), f, broadcast(-0.14426842331886292f));
  p = fma(p, f, broadcast(0.14883700013160706f));
  p = fma(p, f, broadcast(-0.16551794111728668f));
  p = fma(p, f, broadcast(0.19963476061820984f));
  p = fma(p, f, broadcast(-0.25002583861351013f));
  p = fma(p, f, broadcast(0.3333393335342407f));
  p = fma(p, f, broadcast(-0.4999998211860657f));
  return fma(__builtin_convertvector(exponent, Vec), broadcast(0.6931471805599453f), fma(f * f, p, f));
}

// Two independent normals of two words: the radius of 32 bits, so that tails reach 6.7 deviations; the angle
// a quarter turn and a part of it.
inline void normals(Word w0, Word w1, Vec* first, Vec* second) {
  const Vec u = fma(to_float(w0 >> 16), broadcast(0x1p-16f), (to_float(w0 & 0xFFFFu) + 0.5f) * 0x1p-32f);
  const Vec radius = square_root(log_vec(u) * -2.0f);
  const Vec f = to_float((w1 << 2) >> 8) * 0x1p-24f - 0.5f;  // of a quarter turn, in [-1/2, 1/2)
  const Vec z = f * f;
  Vec s = fma(broadcast(-0.004605687223374844f), z, broadcast(0.07968173921108246f));
  s = fma(s, z, broadcast(-0.6459636688232422f));
  s = fma(s, z, broadcast(1.5707963705062866f));
  s = s * f;
  Vec c = fma(broadcast(0.0009040605509653687f), z, broadcast(-0.020860308781266212f));
  c = fma(c, z, broadcast(0.25366926193237305f));
  c = fma(c, z, broadcast(-1.2337005138397217f));
  c = fma(c, z, broadcast(1.0f));
  const Mask turned = (Mask)((w1 >> 30) & 1u) != 0, half = (Mask)(w1 >> 31) != 0;
  Vec x = turned ? -s : c, y = turned ? c : s;
  x = half ? -x : x;
  y = half ? -y : y;
  *first = x * radius;
  *second = y * radius;
}

// A normal truncated at two deviations, of one word: the inverse of its distribution function, by a
// polynomial in the logarithm that erfinv is smooth in (minimax, 6e-9).
inline Vec truncated_normal(Word word) {
  const Vec v = symmetric(word);
  const Vec x = v * 0.9544997361036416f;
  const Vec w = -log_vec(fma(-x, x, broadcast(1.0f)));
  Vec p = fma(broadcast(-4.7602176778127614e-07f), w, broadcast(-2.169901563320309e-06f));
  p = fma(p, w, broadcast(7.406324584735557e-05f));
  p = fma(p, w, broadcast(-0.0001860927150119096f));
  p = fma(p, w, broadcast(-0.0031437051948159933f));
  p = fma(p, w, broadcast(0.015587498433887959f));
  p = fma(p, w, broadcast(0.31318777799606323f));
  p = fma(p, w, broadcast(1.196287989616394f));
  return p * v;
}

// the draws of one vector of candidates: row d of `out` gets draw d
void draw(const Proposal& p, Word position, float* out, int stride) {
  const int draws = p.horizon * p.naction;
  for (int d = 0; d < draws; d += 4) {
    Word c[4] = {Word{} + (static_cast<std::uint32_t>(d / 4) + (p.round << 24)), position, Word{} + p.step[0],
                 Word{} + p.step[1]};
    philox(p.key, c);
    Vec x[4];
    if (p.kind == ProposalKind::kNormal) {
      normals(c[0], c[1], &x[0], &x[1]);
      normals(c[2], c[3], &x[2], &x[3]);
    } else {
      for (int i = 0; i < 4; ++i) {
        x[i] = p.kind == ProposalKind::kUniform ? symmetric(c[i]) : truncated_normal(c[i]);
      }
    }
    for (int i = 0; i < 4 && d + i < draws; ++i)
      store(out + (d + i) * static_cast<std::int64_t>(stride), x[i]);
  }
}

// noise = colour * normals, in place, for one vector of candidates; scratch (horizon, kLanes)
void colour(const Proposal& p, float* out, int stride, float* scratch) {
  const std::int64_t step = static_cast<std::int64_t>(p.naction) * stride;
  for (int a = 0; a < p.naction; ++a) {
    float* column = out + static_cast<std::int64_t>(a) * stride;
    for (int t = 0; t < p.horizon; ++t) store(scratch + t * kLanes, load(column + t * step));
    for (int t = 0; t < p.horizon; ++t) {
      const float* row = p.colour + static_cast<std::int64_t>(t) * p.horizon;
      Vec sum{};
      for (int k = 0; k < p.horizon; ++k) sum = fma(broadcast(row[k]), load(scratch + k * kLanes), sum);
      store(column + t * step, sum);
    }
  }
}

// a = mean + deviation * noise, filtered, clipped, in place, for one vector of candidates
void shape(const Proposal& p, float* out, int stride) {
  const Vec one = broadcast(1.0f);
  for (int a = 0; a < p.naction; ++a) {
    Vec before = broadcast(p.before == nullptr ? 0.0f : p.before[a]);
    for (int t = 0; t < p.horizon; ++t) {
      const int i = t * p.naction + a;
      float* at = out + static_cast<std::int64_t>(i) * stride;
      Vec x = fma(broadcast(p.deviation[i]), load(at), broadcast(p.mean[i]));
      if (p.smoothing != 1.0f) {
        x = fma(broadcast(p.smoothing), x, broadcast(1.0f - p.smoothing) * before);
        before = x;
      }
      x = x > one ? one : x;
      store(at, x < -one ? -one : x);
    }
  }
}

void propose(const Proposal* proposal, std::int64_t first, int n, float* actions, int stride,
             float* scratch) {
  const Proposal& p = *proposal;
  for (int done = 0; done < n; done += kLanes) {
    float* const out = actions + done;
    Word position;
    for (int i = 0; i < kLanes; ++i) {
      const int at = done + i < n ? done + i : n - 1;
      position[i] =
          p.positions == nullptr ? static_cast<std::uint32_t>(first + done + i) : p.positions[first + at];
    }
    draw(p, position, out, stride);
    if (p.kind == ProposalKind::kUniform) continue;
    if (p.colour != nullptr) colour(p, out, stride, scratch);
    shape(p, out, stride);
  }
  const int rows = (p.horizon - p.redrawn) * p.naction;
  for (int lane = 0; lane < n; ++lane) {
    const std::int64_t position = p.positions == nullptr ? first + lane : p.positions[first + lane];
    const std::int64_t of_policy = position - p.first_of_policy;
    if (of_policy >= 0 && of_policy < p.npolicy) {
      const float* from = p.policy + of_policy * p.horizon * p.naction;
      for (int i = 0; i < p.horizon * p.naction; ++i) {
        actions[static_cast<std::int64_t>(i) * stride + lane] = from[i];
      }
      continue;
    }
    if (position >= p.ngiven) continue;
    const float* from = p.given + position * p.horizon * p.naction;
    for (int i = 0; i < rows; ++i) actions[static_cast<std::int64_t>(i) * stride + lane] = from[i];
  }
}

}  // namespace

#endif  // MBMF_KERNEL_PROPOSAL_H_
