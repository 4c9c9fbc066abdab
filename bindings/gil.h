// Giving up Python's lock for calls that last, taking it for calls back, and what both do when Python ends
// meanwhile.
//
// A daemon thread that asks for the lock of a Python that is ending is ended by pthread_exit, which unwinds
// the stack; the first destructor on the way ends the process by SIGABRT. Such a thread is kept waiting
// instead, until the process is over: nobody misses it.

#ifndef MBMF_BINDINGS_GIL_H_
#define MBMF_BINDINGS_GIL_H_

#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <thread>
#include <utility>

namespace mbmf::bindings {

namespace py = pybind11;

// Set as Python begins to end, by the thread that ends it, which alone goes on.
struct Ending {
  std::atomic<bool> begun{false};
  std::thread::id by;
};

inline Ending& ending() {
  static Ending instance;
  return instance;
}

[[noreturn]] inline void wait_for_the_end() {
  for (;;) pause();
}

// Runs `action`, which may wait for Python's lock or run Python. A thread that Python would end stays in it.
template <typename Action>
decltype(auto) outlasting_python(const Action& action) {
  if (ending().begun.load() && std::this_thread::get_id() != ending().by) wait_for_the_end();
#if defined(__GLIBCXX__)
  try {
    return action();
  } catch (abi::__forced_unwind&) {  // it must not be let through, and this is the way not to
    wait_for_the_end();
  }
#else
  return action();
#endif
}

class ReleaseGil {
 public:
  ReleaseGil() : state_(PyEval_SaveThread()) {}
  ~ReleaseGil() {  // NOLINT(bugprone-exception-escape): what PyEval_RestoreThread may throw ends here
    outlasting_python([this] { PyEval_RestoreThread(state_); });
  }
  ReleaseGil(const ReleaseGil&) = delete;
  ReleaseGil& operator=(const ReleaseGil&) = delete;

 private:
  PyThreadState* state_;
};

class AcquireGil {
 public:
  AcquireGil() {
    outlasting_python([this] { held_.emplace(); });
  }
  AcquireGil(const AcquireGil&) = delete;
  AcquireGil& operator=(const AcquireGil&) = delete;

 private:
  std::optional<py::gil_scoped_acquire> held_;
};

// Calls a function of the user's: in place of function(arguments...) where C++ is below it on the stack.
template <typename... Arguments>
py::object call_back(const py::object& function, Arguments&&... arguments) {
  const py::tuple tuple = py::make_tuple(std::forward<Arguments>(arguments)...);
  PyObject* result = outlasting_python([&] { return PyObject_CallObject(function.ptr(), tuple.ptr()); });
  if (result == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

}  // namespace mbmf::bindings

#endif  // MBMF_BINDINGS_GIL_H_
