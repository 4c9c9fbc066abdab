#include "export/json_field.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

using nlohmann::json;

constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxShown = 40;
// Values and keys: so many, and one for so many bytes of the text; a value in memory is ten times as large.
constexpr std::size_t kFewValues = 4096, kBytesPerValue = 8;

// Refuses what nlohmann/json would take: a key twice, nesting that later readers could not bear, and a text
// that becomes far more in memory.
class Strict {
 public:
  explicit Strict(std::size_t size) : most_(kFewValues + size / kBytesPerValue) {}

  bool operator()(int depth, json::parse_event_t event, const json& value) {
    const bool ends = event == json::parse_event_t::object_end || event == json::parse_event_t::array_end;
    if (!ends && ++count_ > most_) throw Error("more values than " + std::to_string(most_));
    switch (event) {
      case json::parse_event_t::object_start:
        keys_.emplace_back();
        [[fallthrough]];
      case json::parse_event_t::array_start:
        if (depth >= kMaxDepth) throw Error("nesting beyond " + std::to_string(kMaxDepth));
        break;
      case json::parse_event_t::object_end:
        keys_.pop_back();
        break;
      case json::parse_event_t::key:
        if (!keys_.back().insert(value.get_ref<const std::string&>()).second) throw Error("a key twice");
        break;
      default:
        break;
    }
    return true;
  }

 private:
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
  std::size_t most_, count_ = 0;
};

// nlohmann's message without its number, in ASCII and not too long: it may quote the file
std::string reason(const std::string& what) {
  const std::size_t head = what.find("] ");
  std::string text = head == std::string::npos ? what : what.substr(head + 2);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  constexpr std::size_t kMax = 200;
  return text.size() > kMax ? text.substr(0, kMax) + " ..." : text;
}

// a text in ASCII, as JSON writes it, cut
std::string shown(const json& text) {
  std::string ascii = text.dump(-1, ' ', true);
  if (ascii.size() > kMaxShown + 2) ascii = ascii.substr(0, kMaxShown + 1) + "\"";
  return ascii;
}

std::string kind(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return "null";
    case json::value_t::boolean:
      return "true or false";
    case json::value_t::array:
      return "a list";
    case json::value_t::object:
      return "an object";
    case json::value_t::string:
      return shown(value);
    default:
      return value.dump();
  }
}

}  // namespace

JsonField JsonField::parse(std::string_view text, const std::string& name) {
  try {
    // nlohmann/json takes a zero byte for the end
    if (text.find('\0') != std::string_view::npos) throw Error("a zero byte");
    return {std::make_shared<const json>(json::parse(text.begin(), text.end(), Strict(text.size()))), name};
  } catch (const json::exception& error) {
    throw Error(name + " must be JSON, got a " + reason(error.what()));
  } catch (const Error& error) {
    throw Error(name + " must be JSON as mbmf writes it, got " + error.what());
  }
}

JsonField JsonField::part(const json& value, const std::string& suffix) const {
  return {Value(value_, &value), where_ + suffix};
}

void JsonField::fail(const std::string& requirement) const {
  throw Error(where_ + " must be " + requirement + ", got " + kind(*value_));
}

const json& JsonField::object() const {
  if (!value_->is_object()) fail("an object");
  return *value_;
}

const json& JsonField::number_value(const char* what) const {
  if (!value_->is_number()) fail(what);
  return *value_;
}

void JsonField::only(std::initializer_list<const char*> keys) const {
  for (const auto& [key, value] : object().items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) fail("without the key " + shown(key));
  }
  for (const char* key : keys) {
    if (!has(key)) fail("with the key " + shown(key));
  }
}

bool JsonField::has(const std::string& key) const { return object().contains(key); }

JsonField JsonField::operator[](const std::string& key) const {
  const auto found = object().find(key);
  if (found == value_->end()) fail("with the key " + shown(key));
  return part(*found, "." + key);
}

std::vector<JsonField> JsonField::items(std::size_t most) const {
  if (!value_->is_array()) fail("a list");
  if (value_->size() > most) fail("a list of at most " + std::to_string(most));
  std::vector<JsonField> fields;
  for (std::size_t i = 0; i < value_->size(); ++i) {
    fields.push_back(part((*value_)[i], "[" + std::to_string(i) + "]"));
  }
  return fields;
}

std::vector<std::pair<std::string, JsonField>> JsonField::members() const {
  std::vector<std::pair<std::string, JsonField>> fields;
  for (const auto& [key, value] : object().items()) {
    std::string name = shown(key);
    fields.emplace_back(key, part(value, "." + name.substr(1, name.size() - 2)));
  }
  return fields;
}

bool JsonField::is_null() const { return value_->is_null(); }

std::string JsonField::text() const {
  if (!value_->is_string()) fail("a string");
  return value_->get<std::string>();
}

bool JsonField::boolean() const {
  if (!value_->is_boolean()) fail("true or false");
  return value_->get<bool>();
}

double JsonField::number() const { return number_value("a number").get<double>(); }

double JsonField::number_or(double missing) const {
  return is_null() ? missing : number_value("a number or null").get<double>();
}

std::int64_t JsonField::integer(std::int64_t low, std::int64_t high) const {
  const json& number = number_value("a whole number");
  // a whole number beyond 64 bits is a float here, and one beyond 63 only unsigned
  const bool fits = number.is_number_unsigned() ? std::in_range<std::int64_t>(number.get<std::uint64_t>())
                                                : number.is_number_integer();
  const std::int64_t value = fits ? number.get<std::int64_t>() : 0;
  if (!fits || value < low || value > high) {
    fail("a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

std::uint64_t JsonField::natural() const {
  const json& number = number_value("a whole number");
  if (!number.is_number_unsigned()) fail("a whole number of 64 bits");
  return number.get<std::uint64_t>();
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
