// Tensors of a safetensors file: 8 bytes with the header's length, a JSON header, and the numbers.

#ifndef MBMF_SRC_EXPORT_TENSOR_READER_H_
#define MBMF_SRC_EXPORT_TENSOR_READER_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mbmf {

class TensorReader {
 public:
  // `bytes` must stay. `name` is the file's, in messages. Throws mbmf::Error unless every size and offset is
  // right: tensors lie end to end and fill the file.
  TensorReader(std::string_view bytes, std::string name);

  std::vector<std::string> names() const;
  // The numbers of a tensor of exactly that shape, little-endian float32 or float64, all finite. Throws
  // mbmf::Error.
  std::vector<float> float32(const std::string& tensor, const std::vector<std::int64_t>& shape) const;
  std::vector<double> float64(const std::string& tensor, const std::vector<std::int64_t>& shape) const;

 private:
  struct Tensor {
    std::string dtype;
    std::vector<std::int64_t> shape;
    std::size_t begin, end;
  };
  template <typename T>
  std::vector<T> read(const std::string& tensor, const char* dtype,
                      const std::vector<std::int64_t>& shape) const;

  std::string_view data_;
  std::string name_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace mbmf

#endif  // MBMF_SRC_EXPORT_TENSOR_READER_H_
