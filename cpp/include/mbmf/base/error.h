// Errors of the library.
//
// Functions throw std::invalid_argument for a bad argument (the message says `<argument> must be
// <requirement>, got <value>`) and mbmf::Error for anything that fails while running. Nothing is left
// half-written by a throw.

#ifndef MBMF_BASE_ERROR_H_
#define MBMF_BASE_ERROR_H_

#include <sstream>
#include <stdexcept>
#include <string>

namespace mbmf {

// A failure while running: a model that MuJoCo cannot load, a plan with no finite candidate, an interrupted
// rollout.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws std::invalid_argument with the parts of the message streamed together.
template <typename... Parts>
[[noreturn]] void throw_invalid(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw std::invalid_argument(message.str());
}

}  // namespace mbmf

#endif  // MBMF_BASE_ERROR_H_
