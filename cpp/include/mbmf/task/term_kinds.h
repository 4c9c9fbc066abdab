// The kinds of reward and cost terms: one entry each, which is all that a new kind needs.
//
// An entry says what a task file may give, and the term's value (without its weight) on any arithmetic:
// numbers in float64 (src/task/terms.cc), vectors of candidates in float32 (src/kernel/kernel_rollout.h). Ops
// has
//   Value          the type of a number or a vector
//   number(x)      a Value
//   n()            how many states the term names
//   state(i)       one of them
//   target(i)      its target
//   difference(i)  of it from its target
//   outside(i)     1 where it is out of the term's bounds, else 0
//   clipped(i)     the value within the bounds that is nearest to it
//   excess(i)      how far it is from that
//   naction(), action(i)
//   action_rate()  the sum of (action - the action before it)^2; 0 where there is none before
//
//   add_square(x, sum), magnitude(x), square_root(x)
//   arc(y, x)      the angle in [0, pi / 2] with sine and cosine as y and x, neither below 0
// A state that is not a number must make the value none, but for `outside`, where it counts as out.
// Names, flags and meanings are those of task files (docs/tasks.md), exports and Python.

#ifndef MBMF_TASK_TERM_KINDS_H_
#define MBMF_TASK_TERM_KINDS_H_

namespace mbmf {
namespace term_kinds {

// what a term has beside its weight: kStates, and of those kTargets or kBounds; a weight that is not given is
// 1 where kDefaultWeight, else it must be; kQuaternions: the states are quaternions, four each, w first
struct Constant {
  static constexpr const char* kName = "constant";
  static constexpr const char* kMeaning = "weight";
  static constexpr bool kStates = false, kTargets = false, kBounds = false, kDefaultWeight = false,
                        kQuaternions = false;
  template <class Ops>
  static typename Ops::Value value(const Ops& ops) {
    return ops.number(1);
  }
};

struct Linear {
  static constexpr const char* kName = "linear";
  static constexpr const char* kMeaning = "weight * sum of the states";
  static constexpr bool kStates = true, kTargets = false, kBounds = false, kDefaultWeight = true,
                        kQuaternions = false;
  template <class Ops>
  static typename Ops::Value value(const Ops& ops) {
    typename Ops::Value sum = ops.number(0);
    for (int i = 0; i < ops.n(); ++i) sum = sum + ops.state(i);
    return sum;
  }
};

struct Quadratic {
  static constexpr const char* kName = "quadratic";
  static constexpr const char* kMeaning = "weight * sum of (state - target)^2";
  static constexpr bool kStates = true, kTargets = true, kBounds = false, kDefaultWeight = true,
                        kQuaternions = false;
  template <class Ops>
  static typename Ops::Value value(const Ops& ops) {
    typename Ops::Value sum = ops.number(0);
    for (int i = 0; i < ops.n(); ++i) sum = ops.add_square(ops.difference(i), sum);
    return sum;
  }
};

struct Absolute {
  static constexpr const char* kName = "absolute";
  static constexpr const char* kMeaning = "weight * sum of |state - target|";
  static constexpr bool kStates = true, kTargets = true, kBounds = false, kDefaultWeight = true,
                        kQuaternions = false;
  template <class Ops>
  static typename Ops::Value value(const Ops& ops) {
    typename Ops::Value sum = ops.number(0);
    for (int i = 0; i < ops.n(); ++i) sum = sum + ops.magnitude(ops.difference(i));
    return sum;
  }
};

struct Distance {
  static constexpr const char* kName = "distance";
  static constexpr const char* kMeaning = "weight * the Euclidean distance of the states from their targets";
  static constexpr bool kStates = true, kTargets = true, kBounds = false, kDefaultWeight = true,
                        kQuaternions = false;
  template <class Ops>
  static typename Ops::Value value(const Ops& ops) {
    return ops.square_root(Quadratic::value(ops));
  }
};

struct Outside {
  static constexpr const char* kName = "outside";
  static constexpr const char* kMeaning = "weight * the number of states that are out of bounds";
  static constexpr bool kStates = true, kTargets = false, kBounds = true, kDefaultWeight = true,
                        kQuaternions = false;
  template <class Ops>
  static typename Ops::Value value(const Ops& ops) {
    typename Ops::Value sum = ops.number(0);
    for (int i = 0; i < ops.n(); ++i) sum = sum + ops.outside(i);
    return sum;
  }
};

struct Action {
  static constexpr const char* kName = "action";
  static constexpr const char* kMeaning = "weight * |action|^2, the action in [-1, 1]";
  static constexpr bool kStates = false, kTargets = false, kBounds = false, kDefaultWeight = false,
                        kQuaternions = false;
  template <class Ops>
  static typename Ops::Value value(const Ops& ops) {
    typename Ops::Value sum = ops.number(0);
    for (int i = 0; i < ops.naction(); ++i) sum = ops.add_square(ops.action(i), sum);
    return sum;
  }
};

struct Product {
  static constexpr const char* kName = "product";
  static constexpr const char* kMeaning = "weight * product of the states";
  static constexpr bool kStates = true, kTargets = false, kBounds = false, kDefaultWeight = true,
                        kQuaternions = false;
  template <class Ops>
  static typename Ops::Value value(const Ops& ops) {
    typename Ops::Value product = ops.state(0);
    for (int i = 1; i < ops.n(); ++i) product = product * ops.state(i);
    return product;
  }
};

struct Clipped {
  static constexpr const char* kName = "clipped";
  static constexpr const char* kMeaning = "weight * sum of the states, each clipped to the bounds";
  static constexpr bool kStates = true, kTargets = false, kBounds = true, kDefaultWeight = true,
                        kQuaternions = false;
  template <class Ops>
  static typename Ops::Value value(const Ops& ops) {
    typename Ops::Value sum = ops.number(0);
    for (int i = 0; i < ops.n(); ++i) sum = sum + ops.clipped(i);
    return sum;
  }
};

struct Excess {
  static constexpr const char* kName = "excess";
  static constexpr const char* kMeaning = "weight * sum of (how far the state is out of bounds)^2";
  static constexpr bool kStates = true, kTargets = false, kBounds = true, kDefaultWeight = true,
                        kQuaternions = false;
  template <class Ops>
  static typename Ops::Value value(const Ops& ops) {
    typename Ops::Value sum = ops.number(0);
    for (int i = 0; i < ops.n(); ++i) sum = ops.add_square(ops.excess(i), sum);
    return sum;
  }
};

struct ActionRate {
  static constexpr const char* kName = "action_rate";
  static constexpr const char* kMeaning = "weight * |action - the action before it|^2, 0 for the first one";
  static constexpr bool kStates = false, kTargets = false, kBounds = false, kDefaultWeight = false,
                        kQuaternions = false;
  template <class Ops>
  static typename Ops::Value value(const Ops& ops) {
    return ops.action_rate();
  }
};

struct Rotation {
  static constexpr const char* kName = "rotation";
  static constexpr const char* kMeaning = "weight * the angle between quaternions and their targets, rad";
  static constexpr bool kStates = true, kTargets = true, kBounds = false, kDefaultWeight = true,
                        kQuaternions = true;
  template <class Ops>
  static typename Ops::Value value(const Ops& ops) {
    typename Ops::Value sum = ops.number(0);
    for (int i = 0; i + 3 < ops.n(); i += 4) {
      // conjugate(a) * b; its sign says nothing, since q and -q are one rotation
      const typename Ops::Value aw = ops.state(i), ax = ops.state(i + 1), ay = ops.state(i + 2),
                                az = ops.state(i + 3), bw = ops.target(i), bx = ops.target(i + 1),
                                by = ops.target(i + 2), bz = ops.target(i + 3);
      const typename Ops::Value w = aw * bw + ax * bx + ay * by + az * bz;
      const typename Ops::Value x = aw * bx - ax * bw - ay * bz + az * by;
      const typename Ops::Value y = aw * by + ax * bz - ay * bw - az * bx;
      const typename Ops::Value z = aw * bz - ax * by + ay * bx - az * bw;
      const typename Ops::Value sine = ops.square_root(x * x + y * y + z * z);
      sum = sum + ops.number(2) * ops.arc(sine, ops.magnitude(w));
    }
    return sum;
  }
};

}  // namespace term_kinds

// the table: every kind, in the order of its number
#define MBMF_TERM_KINDS(X) \
  X(Constant)              \
  X(Linear)                \
  X(Quadratic)             \
  X(Absolute) X(Distance) X(Outside) X(Action) X(Product) X(Clipped) X(Excess) X(ActionRate) X(Rotation)

#define MBMF_TERM_ENUMERATOR(kind) k##kind,
enum class TermKind : int { MBMF_TERM_KINDS(MBMF_TERM_ENUMERATOR) };
#undef MBMF_TERM_ENUMERATOR

// The value of a term of a kind; `unknown` for a number that is none.
template <class Ops>
typename Ops::Value term_value(int kind, const Ops& ops, typename Ops::Value unknown) {
  switch (kind) {
#define MBMF_TERM_CASE(name)                \
  case static_cast<int>(TermKind::k##name): \
    return term_kinds::name::value(ops);
    MBMF_TERM_KINDS(MBMF_TERM_CASE)
#undef MBMF_TERM_CASE
    default:
      return unknown;
  }
}

}  // namespace mbmf

#endif  // MBMF_TASK_TERM_KINDS_H_
