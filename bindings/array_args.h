// Checks of array arguments, and arrays handed back: the only place of the bindings that looks at NumPy
// arrays.
//
// Nothing is converted here: an array of another dtype, shape or memory order is refused with a message that
// says what would be right. The Python package converts before it calls.

#ifndef MBMF_BINDINGS_ARRAY_ARGS_H_
#define MBMF_BINDINGS_ARRAY_ARGS_H_

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "mbmf/base/error.h"

namespace mbmf::bindings {

namespace py = pybind11;

// One dimension that an array must have: a size, or a name for a dimension of any size.
struct Dim {
  Dim(const char* any) : name(any) {}  // NOLINT(google-explicit-constructor): written as {"n", nstate}
  template <typename Int, typename = std::enable_if_t<std::is_integral_v<Int>>>
  Dim(Int exact) : size(static_cast<py::ssize_t>(exact)) {}  // NOLINT(google-explicit-constructor)

  py::ssize_t size = -1;
  const char* name = nullptr;
};

inline std::string shape_text(std::initializer_list<Dim> shape) {
  std::string text = "(";
  for (const Dim& dim : shape) text += (dim.name ? std::string(dim.name) : std::to_string(dim.size)) + ", ";
  if (shape.size() > 1)
    text.erase(text.size() - 2);
  else if (shape.size() == 1)
    text.pop_back();
  return text + ")";
}

// Throws unless `array` is C-contiguous, aligned, of dtype T and of that shape.
template <typename T>
void check_array(const py::array& array, const char* name, std::initializer_list<Dim> shape) {
  constexpr int wanted = int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};
  bool good = py::dtype::of<T>().equal(array.dtype()) && (array.flags() & wanted) == wanted &&
              array.ndim() == static_cast<py::ssize_t>(shape.size());
  py::ssize_t axis = 0;
  for (const Dim& dim : shape) {
    if (!good) break;
    good = dim.name != nullptr || array.shape(axis) == dim.size;
    axis++;
  }
  if (good) return;
  throw_invalid(
      name, " must be a C-contiguous ", std::string(py::str(py::dtype::of<T>())), " array of shape ",
      shape_text(shape), ", got ", (array.flags() & py::array::c_style) ? "a " : "a non-contiguous ",
      std::string(py::str(array.dtype())), " array of shape ", std::string(py::str(array.attr("shape"))));
}

// The numbers of an input array.
template <typename T>
const T* input(const py::array& array, const char* name, std::initializer_list<Dim> shape) {
  check_array<T>(array, name, shape);
  return static_cast<const T*>(array.data());
}

// The numbers of an output array of the caller.
template <typename T>
T* output(py::array& array, const char* name, std::initializer_list<Dim> shape) {
  check_array<T>(array, name, shape);
  if (!array.writeable()) throw_invalid(name, " must be a writeable array, got a read-only one");
  return static_cast<T*>(array.mutable_data());
}

// The numbers of a one-dimensional input as a vector.
template <typename T>
std::vector<T> input_vector(const py::array& array, const char* name, Dim size = "n") {
  const T* data = input<T>(array, name, {size});
  return std::vector<T>(data, data + array.size());
}

// A new array, its numbers not set.
template <typename T>
py::array_t<T> make_array(std::initializer_list<Dim> shape) {
  std::vector<py::ssize_t> sizes;
  for (const Dim& dim : shape) sizes.push_back(dim.size);
  return py::array_t<T>(sizes);
}

// A new array of zeros.
template <typename T>
py::array_t<T> make_zeros(std::initializer_list<Dim> shape) {
  py::array_t<T> array = make_array<T>(shape);
  std::fill_n(array.mutable_data(), array.size(), T{});
  return array;
}

// An array of the numbers of a vector, which it takes over.
template <typename T>
py::array_t<T> take_array(std::vector<T>&& values, std::initializer_list<Dim> shape) {
  std::vector<py::ssize_t> sizes;
  for (const Dim& dim : shape) sizes.push_back(dim.size);
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owned->data();
  const py::capsule owner(owned.get(), [](void* vector) { delete static_cast<std::vector<T>*>(vector); });
  owned.release();  // NOLINT(bugprone-unused-return-value): the capsule's now
  return py::array_t<T>(sizes, data, owner);
}

// A read-only view of memory that `owner` keeps alive.
template <typename T>
py::array view(const T* data, std::initializer_list<Dim> shape, const py::object& owner,
               const py::dtype& dtype = py::dtype::of<T>()) {
  std::vector<py::ssize_t> sizes;
  for (const Dim& dim : shape) sizes.push_back(dim.size);
  py::array array(dtype, sizes, data, owner);
  array.attr("flags").attr("writeable") = false;
  return array;
}

}  // namespace mbmf::bindings

#endif  // MBMF_BINDINGS_ARRAY_ARGS_H_
