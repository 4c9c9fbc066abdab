#include "export/tensor_reader.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "export/json_field.h"
#include "mbmf/base/error.h"

namespace mbmf {

namespace {

constexpr std::uint64_t kMaxHeader = 1 << 20;

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + ")";
}

}  // namespace

TensorReader::TensorReader(std::string_view bytes, std::string name) : name_(std::move(name)) {
  static_assert(std::endian::native == std::endian::little, "the numbers are read as they lie there");
  std::uint64_t length = 0;
  if (bytes.size() < sizeof(length)) throw Error(name_ + " must be a whole safetensors file, got a cut one");
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > kMaxHeader || length > bytes.size() - sizeof(length)) {
    throw Error(name_ + " must be a whole safetensors file, got one with a header of " +
                std::to_string(length) + " bytes");
  }
  data_ = bytes.substr(sizeof(length) + length);
  const auto most = static_cast<std::int64_t>(data_.size());

  std::vector<std::pair<std::size_t, std::size_t>> pieces;
  for (const auto& [key, field] : JsonField::parse(bytes.substr(sizeof(length), length), name_).members()) {
    if (key == "__metadata__") continue;
    field.only({"dtype", "shape", "data_offsets"});
    Tensor tensor{field["dtype"].text(), {}, 0, 0};
    std::int64_t size = tensor.dtype == "F32" ? 4 : tensor.dtype == "F64" ? 8 : 0;
    if (size == 0) field["dtype"].fail("F32 or F64");
    for (const JsonField& dimension : field["shape"].items(8)) {
      const std::int64_t n = dimension.integer(0, most);
      if (n > 0 && size > most / n) dimension.fail("small enough for the file");
      size *= n;
      tensor.shape.push_back(n);
    }
    const std::vector<JsonField> offsets = field["data_offsets"].items(2);
    if (offsets.size() != 2) field["data_offsets"].fail("two offsets");
    const std::int64_t begin = offsets[0].integer(0, most), end = offsets[1].integer(begin, most);
    if (end - begin != size) field["data_offsets"].fail(std::to_string(size) + " bytes apart");
    tensor.begin = static_cast<std::size_t>(begin);
    tensor.end = static_cast<std::size_t>(end);
    pieces.emplace_back(tensor.begin, tensor.end);
    tensors_.emplace(key, std::move(tensor));
  }
  std::sort(pieces.begin(), pieces.end());
  std::size_t end = 0;
  for (const auto& [first, last] : pieces) {
    if (first != end) throw Error(name_ + " must hold tensors end to end, got a gap or an overlap");
    end = last;
  }
  if (end != data_.size()) throw Error(name_ + " must end with its last tensor, got bytes after it");
}

std::vector<std::string> TensorReader::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

template <typename T>
std::vector<T> TensorReader::read(const std::string& tensor, const char* dtype,
                                  const std::vector<std::int64_t>& shape) const {
  const auto found = tensors_.find(tensor);
  if (found == tensors_.end()) throw Error(name_ + " must hold the tensor " + tensor + ", got none");
  const Tensor& t = found->second;
  if (t.dtype != dtype || t.shape != shape) {
    throw Error(name_ + ": " + tensor + " must be " + dtype + " of shape " + shape_text(shape) + ", got " +
                t.dtype + " " + shape_text(t.shape));
  }
  std::vector<T> values((t.end - t.begin) / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), data_.data() + t.begin, t.end - t.begin);
  for (const T x : values) {
    if (!std::isfinite(x)) throw Error(name_ + ": " + tensor + " must be finite, got " + std::to_string(x));
  }
  return values;
}

std::vector<float> TensorReader::float32(const std::string& tensor,
                                         const std::vector<std::int64_t>& shape) const {
  return read<float>(tensor, "F32", shape);
}

std::vector<double> TensorReader::float64(const std::string& tensor,
                                          const std::vector<std::int64_t>& shape) const {
  return read<double>(tensor, "F64", shape);
}

}  // namespace mbmf
