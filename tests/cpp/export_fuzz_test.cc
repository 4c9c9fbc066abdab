// The readers of exported folders, on bytes that are changed at random: a result or an error, never anything
// else. MBMF_FUZZ=<inputs> for more of them than a test run has, best with the address sanitizer.

#include <gtest/gtest.h>
#include <mujoco/mujoco.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "export/json_field.h"
#include "export/task_json.h"
#include "export/tensor_reader.h"
#include "mbmf/base/error.h"
#include "task/model_bytes.h"

namespace mbmf {
namespace {

std::string tensors() {
  const std::string header =
      R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})";
  const std::uint64_t length = header.size();
  const float values[] = {1, 2, 3, 4, 5};
  std::string bytes(sizeof(length) + sizeof(values), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  std::memcpy(bytes.data() + sizeof(length), values, sizeof(values));
  return bytes.insert(sizeof(length), header);
}

std::string task() {
  const std::string channel =
      R"({"source":"qpos","address":0,"transform":"identity","low":null,"high":1e3,"lagged":false})";
  return R"({"name":"t","physics_steps":1,"state":[)" + channel + R"(],"observation":[)" + channel +
         R"(],"reward_state":[],"healthy_reward":0,"reward":[{"kind":"linear","weight":1,"index":[0],"target":[],"target_index":[],"bounds":{"low":0,"high":0,"low_open":false,"high_open":false},"terminal":false}],)"
         R"("cost":[],"path":null,"alive":[{"index":0,"bounds":{"low":null,"high":1,"low_open":false,"high_open":true}}],"dying_cost":0,"healthy":[],)"
         R"("keyframe":-1,"start_qpos":[0],"start_qvel":[0.5],"reset":[)" +
         [] {
           const std::string r =
               R"({"qpos":{"kind":"none","scale":0},"qvel":{"kind":"normal","scale":0.1},"set_qpos":[]})";
           return r + "," + r + "," + r;
         }() +
         R"(],"safe_action":[]})";
}

std::string model() {
  char text[1000] = "";
  mjSpec* spec =
      mj_parseXMLString("<mujoco><worldbody><body><joint/><geom size='1'/></body></worldbody></mujoco>",
                        nullptr, text, sizeof(text));
  mjModel* compiled = mj_compile(spec, nullptr);
  std::string bytes(static_cast<std::size_t>(mj_sizeModel(compiled)), '\0');
  mj_saveModel(compiled, nullptr, bytes.data(), static_cast<int>(bytes.size()));
  mj_deleteModel(compiled);
  mj_deleteSpec(spec);
  return bytes;
}

// one to three changes; `reach`: where they are
void change(std::string* bytes, std::size_t reach, std::mt19937* random) {
  const int changes = 1 + static_cast<int>((*random)() % 3);
  for (int k = 0; k < changes && !bytes->empty(); ++k) {
    const std::size_t at = (*random)() % std::min(reach, bytes->size());
    switch ((*random)() % 6) {
      case 0:
        (*bytes)[at] = static_cast<char>((*random)());
        break;
      case 1:
        bytes->erase(at, 1 + (*random)() % 5);
        break;
      case 2:
        bytes->insert(at, 1, "0123456789-.eE\"{}[],:"[(*random)() % 21]);
        break;
      case 3:
        bytes->insert(at, bytes->substr(at, (*random)() % 40));
        break;
      case 4:
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << (*random)() % 8));
        break;
      default:
        if ((*random)() % 4 == 0) bytes->resize(at);
    }
  }
}

void expect_values_or_errors(const std::string& whole, std::size_t reach,
                             const std::function<void(const std::string&)>& read) {
  ASSERT_NO_THROW(read(whole));
  const char* inputs = std::getenv("MBMF_FUZZ");
  const std::int64_t count = inputs == nullptr ? 10'000 : std::atoll(inputs);
  std::int64_t taken = 0, refused = 0;
  std::mt19937 random(7);
  for (std::int64_t i = 0; i < count; ++i) {
    std::string bytes = whole;
    change(&bytes, reach, &random);
    try {
      read(bytes);
      ++taken;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(taken, count / 1000);
  EXPECT_GT(refused, count / 2);
}

TEST(ExportFuzz, Tensors) {
  expect_values_or_errors(tensors(), SIZE_MAX, [](const std::string& bytes) {
    static_cast<void>(TensorReader(bytes, "f").float32("w", {2, 2}));
  });
}

TEST(ExportFuzz, Tasks) {
  expect_values_or_errors(task(), SIZE_MAX, [](const std::string& bytes) {
    static_cast<void>(task_from_json(JsonField::parse(bytes, "task")));
  });
}

// what MuJoCo must not be given: sizes that the file does not bear out
TEST(ExportFuzz, SizesOfModels) {
  expect_values_or_errors(model(), 820,
                          [](const std::string& bytes) { check_model_bytes(bytes.data(), bytes.size()); });
}

}  // namespace
}  // namespace mbmf
