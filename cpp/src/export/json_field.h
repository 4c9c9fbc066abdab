// Strict JSON, for the files that this project writes itself: nlohmann/json parses, and a field is read as
// what it must be.
//
// Everything that is not exactly right throws mbmf::Error, which names the file and the place: text after the
// value, a key twice, nesting beyond 32, numbers beyond float64, text that is not UTF-8, more
// than 4096 values of less than 8 bytes each.

#ifndef MBMF_SRC_EXPORT_JSON_FIELD_H_
#define MBMF_SRC_EXPORT_JSON_FIELD_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mbmf {

// A value with where it is, and a share of the document that holds it.
class JsonField {
 public:
  // The whole of a document; `name` is the file's, in messages.
  static JsonField parse(std::string_view text, const std::string& name);

  const std::string& where() const { return where_; }
  // Of an object, whose keys must be exactly these.
  void only(std::initializer_list<const char*> keys) const;
  bool has(const std::string& key) const;
  JsonField operator[](const std::string& key) const;
  // Of an array.
  std::vector<JsonField> items(std::size_t most = 100'000) const;
  // Of an object, in the order of the keys.
  std::vector<std::pair<std::string, JsonField>> members() const;

  bool is_null() const;
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
  using Value = std::shared_ptr<const nlohmann::json>;
  JsonField(Value value, std::string where) : value_(std::move(value)), where_(std::move(where)) {}
  // a value inside this one
  JsonField part(const nlohmann::json& value, const std::string& suffix) const;
  const nlohmann::json& object() const;
  const nlohmann::json& number_value(const char* what) const;

  Value value_;
  std::string where_;
};

}  // namespace mbmf

#endif  // MBMF_SRC_EXPORT_JSON_FIELD_H_
