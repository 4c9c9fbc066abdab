#include "export/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

constexpr int kMaxDepth = 32;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Json whole() {
    Json value = parse(0);
    space();
    if (at_ != text_.size()) fail("text after the value");
    return value;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw Error("malformed JSON at byte " + std::to_string(at_) + ": " + what);
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void space() {
    while (at_ < text_.size() && (peek() == ' ' || peek() == '\n' || peek() == '\t' || peek() == '\r')) ++at_;
  }
  void expect(char c, const char* what) {
    space();
    if (peek() != c) fail(what);
    ++at_;
  }
  bool word(std::string_view w) {
    if (text_.substr(at_, w.size()) != w) return false;
    at_ += w.size();
    return true;
  }

  Json parse(int depth) {
    if (depth > kMaxDepth) fail("nested too deeply");
    space();
    Json value;
    switch (peek()) {
      case '{':
        object(&value, depth);
        break;
      case '[':
        array(&value, depth);
        break;
      case '"':
        value.type = Json::Type::kString;
        value.text = string();
        break;
      case 't':
      case 'f':
        value.type = Json::Type::kBool;
        value.boolean = peek() == 't';
        if (!word(value.boolean ? "true" : "false")) fail("unknown word");
        break;
      case 'n':
        if (!word("null")) fail("unknown word");
        break;
      default:
        number(&value);
    }
    return value;
  }

  void object(Json* value, int depth) {
    value->type = Json::Type::kObject;
    std::set<std::string> seen;
    ++at_;
    space();
    if (peek() == '}') {
      ++at_;
      return;
    }
    for (;;) {
      space();
      if (peek() != '"') fail("a key must be a string");
      std::string key = string();
      if (!seen.insert(key).second) fail("a key twice");
      expect(':', "a colon is missing");
      value->keys.push_back(std::move(key));
      value->items.push_back(parse(depth + 1));
      space();
      if (peek() == '}') break;
      expect(',', "a comma is missing");
    }
    ++at_;
  }

  void array(Json* value, int depth) {
    value->type = Json::Type::kArray;
    ++at_;
    space();
    if (peek() == ']') {
      ++at_;
      return;
    }
    for (;;) {
      value->items.push_back(parse(depth + 1));
      space();
      if (peek() == ']') break;
      expect(',', "a comma is missing");
    }
    ++at_;
  }

  std::uint32_t hex4() {
    std::uint32_t code = 0;
    if (text_.size() - at_ < 4) fail("a cut escape");
    const char* begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, begin + 4, code, 16);
    if (error != std::errc() || end != begin + 4) fail("a wrong escape");
    at_ += 4;
    return code;
  }

  std::string string() {
    std::string out;
    for (++at_;; ++at_) {
      if (at_ >= text_.size()) fail("a string without an end");
      const char c = text_[at_];
      if (c == '"') break;
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
      if (c != '\\') {
        out += c;
        continue;
      }
      ++at_;
      static constexpr std::string_view kEscapes = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
      if (peek() == 'u') {
        ++at_;
        std::uint32_t code = hex4();
        if (code >= 0xd800 && code < 0xdc00) {
          if (!word("\\u")) fail("half a surrogate pair");
          const std::uint32_t low = hex4();
          if (low < 0xdc00 || low > 0xdfff) fail("half a surrogate pair");
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        } else if (code >= 0xdc00 && code <= 0xdfff) {
          fail("half a surrogate pair");
        }
        append_utf8(code, &out);
        --at_;
        continue;
      }
      const std::size_t which = at_ < text_.size() ? kEscapes.find(peek()) : std::string_view::npos;
      if (which == std::string_view::npos) fail("a wrong escape");
      out += kMeanings[which];
    }
    ++at_;
    return out;
  }

  static void append_utf8(std::uint32_t code, std::string* out) {
    const auto add = [out](std::uint32_t byte) { *out += static_cast<char>(byte); };
    if (code < 0x80) {
      add(code);
    } else if (code < 0x800) {
      add(0xc0 | code >> 6), add(0x80 | (code & 63));
    } else if (code < 0x10000) {
      add(0xe0 | code >> 12), add(0x80 | (code >> 6 & 63)), add(0x80 | (code & 63));
    } else {
      add(0xf0 | code >> 18), add(0x80 | (code >> 12 & 63)), add(0x80 | (code >> 6 & 63)),
          add(0x80 | (code & 63));
    }
  }

  bool digits() {
    const std::size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ > begin;
  }

  void number(Json* value) {
    const std::size_t begin = at_;
    if (peek() == '-') ++at_;
    if (peek() == '0') {
      ++at_;
    } else if (!digits()) {
      fail("not a value");
    }
    if (peek() == '.') {
      ++at_;
      if (!digits()) fail("a malformed number");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) fail("a malformed number");
    }
    value->type = Json::Type::kNumber;
    value->text = std::string(text_.substr(begin, at_ - begin));
    const char* end = value->text.data() + value->text.size();
    const auto [parsed, error] = std::from_chars(value->text.data(), end, value->number);
    if (error != std::errc() || parsed != end || !std::isfinite(value->number))
      fail("a number beyond float64");
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Json Json::parse(std::string_view text) { return Parser(text).whole(); }

void JsonField::fail(const std::string& requirement) const {
  static constexpr const char* kNames[] = {"null",     "true or false", "a number",
                                           "a string", "a list",        "an object"};
  std::string got = kNames[static_cast<int>(value_->type)];
  if (value_->type == Json::Type::kNumber) got = value_->text.substr(0, 40);
  if (value_->type == Json::Type::kString) got = "\"" + value_->text.substr(0, 40) + "\"";
  throw Error(where_ + " must be " + requirement + ", got " + got);
}

const Json& JsonField::as(Json::Type type, const char* what) const {
  if (value_->type != type) fail(what);
  return *value_;
}

void JsonField::only(std::initializer_list<const char*> keys) const {
  for (const std::string& key : as(Json::Type::kObject, "an object").keys) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      fail("without the key \"" + key.substr(0, 40) + "\"");
    }
  }
  for (const char* key : keys) {
    if (!has(key)) fail(std::string("with the key \"") + key + "\"");
  }
}

bool JsonField::has(const std::string& key) const {
  const std::vector<std::string>& keys = as(Json::Type::kObject, "an object").keys;
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

JsonField JsonField::operator[](const std::string& key) const {
  const Json& object = as(Json::Type::kObject, "an object");
  const auto found = std::find(object.keys.begin(), object.keys.end(), key);
  if (found == object.keys.end()) fail("with the key \"" + key + "\"");
  return {object.items[static_cast<std::size_t>(found - object.keys.begin())], where_ + "." + key};
}

std::vector<JsonField> JsonField::items(std::size_t most) const {
  const Json& array = as(Json::Type::kArray, "a list");
  if (array.items.size() > most) fail("a list of at most " + std::to_string(most));
  std::vector<JsonField> fields;
  for (std::size_t i = 0; i < array.items.size(); ++i) {
    fields.emplace_back(array.items[i], where_ + "[" + std::to_string(i) + "]");
  }
  return fields;
}

std::vector<std::pair<std::string, JsonField>> JsonField::members() const {
  const Json& object = as(Json::Type::kObject, "an object");
  std::vector<std::pair<std::string, JsonField>> fields;
  for (std::size_t i = 0; i < object.keys.size(); ++i) {
    fields.emplace_back(object.keys[i],
                        JsonField(object.items[i], where_ + "." + object.keys[i].substr(0, 80)));
  }
  return fields;
}

std::string JsonField::text() const { return as(Json::Type::kString, "a string").text; }
bool JsonField::boolean() const { return as(Json::Type::kBool, "true or false").boolean; }
double JsonField::number() const { return as(Json::Type::kNumber, "a number").number; }
double JsonField::number_or(double missing) const {
  return value_->type == Json::Type::kNull ? missing : as(Json::Type::kNumber, "a number or null").number;
}

std::int64_t JsonField::integer(std::int64_t low, std::int64_t high) const {
  const std::string& text = as(Json::Type::kNumber, "a whole number").text;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    fail("a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

std::uint64_t JsonField::natural() const {
  const std::string& text = as(Json::Type::kNumber, "a whole number").text;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) fail("a whole number of 64 bits");
  return value;
}

std::vector<double> JsonField::numbers() const {
  std::vector<double> values;
  for (const JsonField& item : items()) values.push_back(item.number());
  return values;
}

std::vector<int> JsonField::indices() const {
  std::vector<int> values;
  for (const JsonField& item : items()) {
    values.push_back(static_cast<int>(item.integer(0, std::numeric_limits<int>::max())));
  }
  return values;
}

int JsonField::one_of(std::initializer_list<const char*> words) const {
  const std::string word = text();
  int place = 0;
  std::string known;
  for (const char* each : words) {
    if (word == each) return place;
    known += (place++ == 0 ? "" : ", ") + std::string(each);
  }
  fail("one of " + known);
}

}  // namespace mbmf
