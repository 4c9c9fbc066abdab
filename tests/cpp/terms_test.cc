#include "mbmf/task/terms.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "infinity.h"

namespace mbmf {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

const double kState[] = {1, -2, 3, 0.5};
const double kAction[] = {0.5, -1};

double value(const Term& term) { return evaluate({term}, kState, kAction, 2); }

TEST(TermsTest, EveryKindIsItsFormula) {
  EXPECT_EQ(value({TermKind::kConstant, 3}), 3);
  EXPECT_EQ(value({TermKind::kLinear, 2, {0, 1}}), 2 * (1 - 2));
  EXPECT_EQ(value({TermKind::kQuadratic, 2, {1, 2}}), 2 * (4 + 9));
  EXPECT_EQ(value({TermKind::kQuadratic, 1, {1, 2}, {1, 5}}), 9 + 4);
  EXPECT_EQ(value({TermKind::kQuadratic, 1, {1}, {}, {2}}), 25);
  EXPECT_EQ(value({TermKind::kAbsolute, -1, {1, 2}, {1, 5}}), -(3 + 2));
  EXPECT_EQ(value({TermKind::kDistance, 2, {1, 2}, {1, 7}}), 2 * 5);
  EXPECT_EQ(value({TermKind::kDistance, 1, {0, 1}, {}, {2, 3}}), std::sqrt(4 + 6.25));
  EXPECT_EQ(value({TermKind::kOutside, 7, {0, 1, 2, 3}, {}, {}, {-1, 1}}), 7 * 2);
  EXPECT_EQ(value({TermKind::kAction, -2}), -2 * 1.25);
  EXPECT_EQ(value({TermKind::kProduct, 2, {1, 2, 3}}), 2 * -2 * 3 * 0.5);
  EXPECT_EQ(value({TermKind::kProduct, 2, {1}}), 2 * -2);
  EXPECT_EQ(value({TermKind::kClipped, 3, {0, 1, 2}, {}, {}, {-1, 2}}), 3 * (1 - 1 + 2));
  EXPECT_EQ(value({TermKind::kClipped, 3, {1, 2}, {}, {}, {-kInfinity, 2}}), 3 * (-2 + 2));
  EXPECT_EQ(value({TermKind::kExcess, 3, {0, 1, 2}, {}, {}, {-1, 2.5}}), 3 * (1 + 0.25));
  EXPECT_EQ(value({TermKind::kExcess, 3, {1, 2}, {}, {}, {0, kInfinity}}), 3 * 4);
  EXPECT_EQ(evaluate({{TermKind::kActionRate, -3}}, kState, kAction, 2, 0.5), -1.5);
  EXPECT_EQ(value({TermKind::kActionRate, -3}), 0);
}

TEST(TermsTest, ATerminalTermCountsAtTheLastPointOnly) {
  const std::vector<Term> terms = {{TermKind::kConstant, 3},
                                   {TermKind::kLinear, 2, {2}, {}, {}, {0, 0}, true}};
  EXPECT_EQ(evaluate(terms, kState, kAction, 2), 3);
  EXPECT_EQ(evaluate(terms, kState, kAction, 2, 0, true), 3 + 6);
}

TEST(TermsTest, TheStepOfAnActionIsFromTheOneBefore) {
  const double before[] = {-0.5, 0};
  EXPECT_EQ(squared_step(kAction, before, 2), 1 + 1);
  EXPECT_EQ(squared_step(kAction, nullptr, 2), 0);
}

TEST(TermsTest, ASumAddsItsTerms) {
  const std::vector<Term> terms = {
      {TermKind::kConstant, 3}, {TermKind::kLinear, 2, {0}}, {TermKind::kAction, -2}};
  EXPECT_EQ(evaluate(terms, kState, kAction, 2), 3 + 2 - 2.5);
  EXPECT_EQ(evaluate({}, kState, kAction, 2), 0);
}

TEST(TermsTest, AnIntervalKeepsItsClosedEndsOnly) {
  const Bounds closed{-1, 2}, open{-1, 2, true, true}, half{-kInfinity, 2, false, true};
  EXPECT_TRUE(closed.contains(-1.0) && closed.contains(2.0) && closed.contains(0.0));
  EXPECT_FALSE(closed.contains(-1.1) || closed.contains(2.1) || closed.contains(kNan));
  EXPECT_TRUE(open.contains(0.0f));
  EXPECT_FALSE(open.contains(-1.0) || open.contains(2.0) || open.contains(kNan));
  EXPECT_TRUE(half.contains(-kInfinity) && half.contains(-1e300));
  EXPECT_FALSE(half.contains(2.0) || half.contains(kNan));
  EXPECT_TRUE(within({{0, {0, 2}}, {1, {-2, 0}}}, kState));
  EXPECT_FALSE(within({{0, {0, 2}}, {1, {-2, 0, true}}}, kState));
  EXPECT_TRUE(within({}, kState));
}

TEST(TermsTest, NotANumberIsOutsideAndSpoilsASum) {
  const double state[] = {kNan};
  EXPECT_EQ(evaluate({{TermKind::kOutside, 1, {0}, {}, {}, {-kInfinity, kInfinity}}}, state, kAction, 2), 1);
  EXPECT_TRUE(std::isnan(evaluate({{TermKind::kLinear, 1, {0}}}, state, kAction, 2)));
  for (const TermKind kind : {TermKind::kProduct, TermKind::kClipped, TermKind::kExcess}) {
    EXPECT_TRUE(std::isnan(evaluate({{kind, 1, {0}, {}, {}, {-1, 1}}}, state, kAction, 2)));
  }
}

template <typename Call>
std::string message(const Call& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(TermsTest, BadTermsAreRefusedByName) {
  const std::pair<Term, const char*> table[] = {
      {{TermKind::kLinear, 1, {4}}, "reward[0].index must be a state index in [0, 4), got 4"},
      {{TermKind::kLinear, 1, {-1}}, "reward[0].index must be a state index in [0, 4), got -1"},
      {{TermKind::kLinear, 1, {}}, "reward[0].index must be one or more state indices, got 0"},
      {{TermKind::kConstant, 1, {0}}, "reward[0].index must be empty for this kind, got 1"},
      {{TermKind::kConstant, kInfinity}, "reward[0].weight must be finite, got inf"},
      {{TermKind::kConstant, kNan}, "reward[0].weight must be finite, got nan"},
      {{TermKind::kLinear, 1, {0}, {1}}, "reward[0].target must be empty for this kind, got 1 values"},
      {{TermKind::kQuadratic, 1, {0, 1}, {1}}, "reward[0].target must be one value per index (2), got 1"},
      {{TermKind::kQuadratic, 1, {0}, {kInfinity}}, "reward[0].target must be finite, got inf"},
      {{TermKind::kAbsolute, 1, {0}, {1}, {1}}, "reward[0] must be given target or target_index, got both"},
      {{TermKind::kAbsolute, 1, {0}, {}, {9}},
       "reward[0].target_index must be a state index in [0, 4), got 9"},
      {{TermKind::kOutside, 1, {0}, {}, {}, {2, 1}},
       "reward[0].bounds must be an interval with low <= high, got low 2 and high 1"},
      {{TermKind::kOutside, 1, {0}, {}, {}, {kNan, 1}},
       "reward[0].bounds must be an interval with low <= high, got low nan and high 1"},
      {{static_cast<TermKind>(99), 1}, "reward[0].kind must be a term kind, got 99"},
  };
  for (const auto& [term, expected] : table) {
    EXPECT_EQ(message([&term = term] { check_terms({term}, 4, "reward"); }), expected);
  }
  EXPECT_EQ(message([] {
              check_bounds({{0, {0, 1}}, {7, {0, 1}}}, 4, "alive");
            }),
            "alive[1].index must be a state index in [0, 4), got 7");
  EXPECT_EQ(message([] {
              check_bounds({{0, {1, 0}}}, 4, "alive");
            }),
            "alive[0].bounds must be an interval with low <= high, got low 1 and high 0");
  EXPECT_EQ(message([] { check_terms({{TermKind::kDistance, 1, {0, 3}, {}, {1, 2}}}, 4, "cost"); }), "");
}

}  // namespace
}  // namespace mbmf
