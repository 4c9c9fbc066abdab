// The pieces that read exported folders, against malformed input of every kind. tests/python/test_bundle.py
// reads whole folders, right and damaged ones.

#include "mbmf/export/bundle.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>

#include "export/json_field.h"
#include "export/sha256.h"
#include "export/task_json.h"
#include "export/tensor_reader.h"
#include "mbmf/base/error.h"

namespace mbmf {
namespace {

// the examples of FIPS 180-4, and lengths around the block's
TEST(Sha256, KnownDigests) {
  EXPECT_EQ(sha256("", 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::string two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  EXPECT_EQ(sha256(two.data(), two.size()),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  const std::string million(1'000'000, 'a');
  EXPECT_EQ(sha256(million.data(), million.size()),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Json, ReadsWhatIsRight) {
  const JsonField field = JsonField::parse(
      R"( {"a": [1, -2.5e3, 0], "b": {"c": "x\n\u00e9\ud83d\ude00\"", "d": null}, "e": true} )", "f");
  EXPECT_EQ(field["a"].numbers(), (std::vector<double>{1, -2500, 0}));
  EXPECT_EQ(field["b"]["c"].text(), "x\n\xc3\xa9\xf0\x9f\x98\x80\"");
  EXPECT_EQ(field["b"]["d"].number_or(7), 7);
  EXPECT_TRUE(field["e"].boolean());
  EXPECT_EQ(JsonField::parse("0.1", "f").number(), 0.1);
  const std::string nested = std::string(32, '[') + std::string(32, ']');
  EXPECT_EQ(JsonField::parse(nested, "f").items().size(), 1U);
}

TEST(Json, WholeNumbersAreExact) {
  const auto field = [](const char* text) { return JsonField::parse(text, "f"); };
  EXPECT_EQ(field("18446744073709551615").natural(), UINT64_MAX);
  EXPECT_EQ(field("9007199254740993").natural(), 9007199254740993U);
  EXPECT_EQ(field("9223372036854775807").integer(INT64_MIN, INT64_MAX), INT64_MAX);
  EXPECT_EQ(field("-9223372036854775808").integer(INT64_MIN, INT64_MAX), INT64_MIN);
  for (const char* text : {"18446744073709551616", "-1", "1.0", "1e3"}) {
    EXPECT_THROW(field(text).natural(), Error) << text;
  }
  for (const char* text : {"9223372036854775808", "-9223372036854775809", "1.0", "1e3"}) {
    EXPECT_THROW(field(text).integer(INT64_MIN, INT64_MAX), Error) << text;
  }
}

TEST(Json, RefusesTheRest) {
  for (const char* text : {"",
                           "{",
                           "}",
                           "[1,]",
                           "[1 2]",
                           "{\"a\" 1}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{\"a\":1,\"a\":2}",
                           "01",
                           "1.",
                           ".5",
                           "+1",
                           "1e",
                           "--1",
                           "nan",
                           "Infinity",
                           "1e999",
                           "tru",
                           "nul",
                           "\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\u0041\"",
                           "\"\n\"",
                           "1 2",
                           "[1]]",
                           "'a'",
                           "/**/1"}) {
    EXPECT_THROW(JsonField::parse(text, "f"), Error) << text;
  }
  EXPECT_THROW(JsonField::parse(std::string(33, '[') + std::string(33, ']'), "f"), Error);
  EXPECT_THROW(JsonField::parse(std::string(10'000'000, '['), "f"), Error);
  EXPECT_THROW(JsonField::parse(std::string("1\0", 2), "f"), Error);
  EXPECT_THROW(JsonField::parse("\"\xff\"", "f"), Error);
}

TEST(Json, FieldsSayWhatIsWrong) {
  const JsonField field = JsonField::parse(R"({"a": 1, "b": "text", "c": [1, 2.5], "d": -3})", "bundle.json");
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message([&] { field["a"].text(); }), "bundle.json.a must be a string, got 1");
  EXPECT_EQ(message([&] { field["b"].number(); }), "bundle.json.b must be a number, got \"text\"");
  EXPECT_EQ(message([&] { field["c"].indices(); }),
            "bundle.json.c[1] must be a whole number from 0 to 2147483647, got 2.5");
  EXPECT_EQ(message([&] { field["d"].natural(); }),
            "bundle.json.d must be a whole number of 64 bits, got -3");
  EXPECT_EQ(message([&] { field["x"].text(); }), "bundle.json must be with the key \"x\", got an object");
  EXPECT_EQ(message([&] {
              field.only({"a", "b", "c"});
            }),
            "bundle.json must be without the key \"d\", got an object");
  EXPECT_EQ(message([&] {
              field["b"].one_of({"relu", "tanh"});
            }),
            "bundle.json.b must be one of relu, tanh, got \"text\"");
  const auto parsed = [&](const std::string& text) { return message([&] { JsonField::parse(text, "f"); }); };
  EXPECT_EQ(parsed("[1,\n]"),
            "f must be JSON, got a parse error at line 2, column 1: syntax error while parsing value - "
            "unexpected ']'; expected '[', '{', or a literal");
  EXPECT_EQ(parsed(R"({"a":1,"a":2})"), "f must be JSON as mbmf writes it, got a key twice");
  EXPECT_EQ(parsed(std::string(33, '[')), "f must be JSON as mbmf writes it, got nesting beyond 32");
}

std::string tensor_file(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

std::string floats(std::initializer_list<float> values) {
  std::string bytes;
  for (const float x : values) bytes.append(reinterpret_cast<const char*>(&x), sizeof(x));
  return bytes;
}

TEST(TensorReader, ReadsWhatIsRight) {
  const std::string file =
      tensor_file(R"({"__metadata__":{"x":"y"},"b":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},)"
                  R"("w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})",
                  floats({1, 2, 3, 4, 5}));
  const TensorReader reader(file, "f");
  EXPECT_EQ(reader.names(), (std::vector<std::string>{"b", "w"}));
  EXPECT_EQ(reader.float32("w", {2, 2}), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(reader.float32("b", {1}), (std::vector<float>{5}));
  EXPECT_THROW(reader.float32("w", {4}), Error);
  EXPECT_THROW(reader.float64("w", {2, 2}), Error);
  EXPECT_THROW(reader.float32("v", {1}), Error);
}

TEST(TensorReader, RefusesTheRest) {
  const std::string one = floats({1});
  for (
      const auto& [header, data] : std::initializer_list<std::pair<std::string, std::string>>{
          {R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", one + one},  // bytes after it
          {R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "abc"},      // cut
          {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", one},        // another size
          {R"({"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})", one},        // another type
          {R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", one},        // backwards
          {R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}})", one},       // before the file
          {R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", one},       // below 0
          {R"({"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", one},
          {R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", one},  // an unknown key
          {R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", one},
          {R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"v":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
           one},  // an overlap
          {R"([1])", one},
          {"", ""}}) {
    EXPECT_THROW(TensorReader(tensor_file(header, data), "f"), Error) << header;
  }
  EXPECT_THROW(TensorReader("", "f"), Error);
  EXPECT_THROW(TensorReader(std::string(8, '\xff'), "f"), Error);
  const std::string nan = tensor_file(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                                      std::string("\x00\x00\xc0\x7f", 4));
  EXPECT_THROW(TensorReader(nan, "f").float32("w", {1}), Error);
}

// whatever bytes are changed, a reader gives a result or an error, and never anything else
TEST(Bundle, MutatedPiecesNeverCrash) {
  const std::string tensors = tensor_file(
      R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})",
      floats({1, 2, 3, 4, 5}));
  const std::string channel =
      R"({"source":"qpos","address":0,"transform":"identity","low":null,"high":1e3,"lagged":false})";
  const std::string task =
      R"({"name":"t","physics_steps":1,"state":[)" + channel + R"(],"observation":[)" + channel +
      R"(],"reward_state":[],"healthy_reward":0,"reward":[{"kind":"linear","weight":1,"index":[0],"target":[],"target_index":[],"bounds":{"low":0,"high":0,"low_open":false,"high_open":false},"terminal":false}],)"
      R"("cost":[],"path":null,"alive":[{"index":0,"bounds":{"low":null,"high":1,"low_open":false,"high_open":true}}],"dying_cost":0,"healthy":[],)"
      R"("start_qpos":[0],"start_qvel":[0.5],"reset":[)" +
      [] {
        const std::string r =
            R"({"qpos":{"kind":"none","scale":0},"qvel":{"kind":"normal","scale":0.1},"set_qpos":[]})";
        return r + "," + r + "," + r;
      }() +
      R"(],"safe_action":[]})";
  EXPECT_NO_THROW(task_from_json(JsonField::parse(task, "task")));
  std::mt19937 random(7);
  int read = 0, refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = i % 2 == 0 ? tensors : task;
    const int changes = 1 + static_cast<int>(random() % 3);
    for (int k = 0; k < changes && !bytes.empty(); ++k) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, 1 + random() % 5);
          break;
        case 2:
          bytes.insert(at, 1, "0123456789-.eE\"{}[],:"[random() % 21]);
          break;
        default:
          bytes.resize(at);
      }
    }
    try {
      if (i % 2 == 0) {
        const TensorReader reader(bytes, "f");
        static_cast<void>(reader.float32("w", {2, 2}));
      } else {
        static_cast<void>(task_from_json(JsonField::parse(bytes, "task")));
      }
      ++read;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 10'000);
}

TEST(Bundle, AFolderThatIsNone) {
  EXPECT_THROW(Bundle::load("/nonexistent"), Error);
  EXPECT_THROW(Bundle::load("/"), Error);
}

}  // namespace
}  // namespace mbmf
