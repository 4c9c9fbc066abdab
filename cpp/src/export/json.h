// Strict JSON (RFC 8259), for the files that this project writes itself.
//
// Everything that is not exactly right throws mbmf::Error: text after the value, a key twice, nesting beyond
// 32, numbers beyond float64, malformed escapes.

#ifndef MBMF_SRC_EXPORT_JSON_H_
#define MBMF_SRC_EXPORT_JSON_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mbmf {

struct Json {
  enum class Type { kNull, kBool, kNumber, kString, kArray, kObject };
  Type type = Type::kNull;
  bool boolean = false;
  double number = 0;
  std::string text;               // of a string; of a number, as it is written
  std::vector<std::string> keys;  // of an object, in order
  std::vector<Json> items;        // of a list, or of an object, one to each key

  static Json parse(std::string_view text);
};

// A value with where it is, to be read as what it must be; throws mbmf::Error, which says where and what.
class JsonField {
 public:
  JsonField(const Json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  // Of an object, whose keys must be exactly these.
  void only(std::initializer_list<const char*> keys) const;
  bool has(const std::string& key) const;
  JsonField operator[](const std::string& key) const;
  // Of an array.
  std::vector<JsonField> items(std::size_t most = 100'000) const;
  std::vector<std::pair<std::string, JsonField>> members() const;

  bool is_null() const { return value_->type == Json::Type::kNull; }
  std::string text() const;
  bool boolean() const;
  double number() const;                   // finite
  double number_or(double missing) const;  // null: `missing`
  std::int64_t integer(std::int64_t low, std::int64_t high) const;
  std::uint64_t natural() const;  // 64 bits
  std::vector<double> numbers() const;
  std::vector<int> indices() const;                            // each in [0, 2^31)
  int one_of(std::initializer_list<const char*> words) const;  // its place among them
  [[noreturn]] void fail(const std::string& requirement) const;

 private:
  const Json& as(Json::Type type, const char* what) const;

  const Json* value_;
  std::string where_;
};

}  // namespace mbmf

#endif  // MBMF_SRC_EXPORT_JSON_H_
