#include "export/folder_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

// An open file or folder.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) static_cast<void>(close(number_));
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  int get() const { return number_; }

 private:
  int number_;
};

[[noreturn]] void fail(const std::string& path, const std::string& requirement, const std::string& got) {
  throw Error(path + " must be " + requirement + ", got " + got);
}

[[noreturn]] void fail_to_read(const std::string& path, int error) {
  throw Error(path + " must be readable, got: " + std::strerror(error));
}

// One part of a name, below a folder. Not opened through links, and without waiting for who else opens it.
Descriptor open_part(int folder, const std::string& part, int flags, const std::string& path) {
  Descriptor found(openat(folder, part.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags));
  if (found.get() >= 0) return found;
  const int error = errno;
  struct stat status {};
  const bool is_link =
      fstatat(folder, part.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
  if (is_link) fail(path, "a file of the folder itself", "a link");
  fail_to_read(path, error);
}

}  // namespace

FolderReader::FolderReader(std::string folder)
    : folder_(std::move(folder)), descriptor_(open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0) fail_to_read(folder_, errno);
}

FolderReader::~FolderReader() { static_cast<void>(close(descriptor_)); }

std::string FolderReader::read(const std::string& name, std::size_t most) const {
  const std::string path = path_of(name);
  Descriptor below(-1);
  std::size_t begin = 0;
  for (std::size_t slash; (slash = name.find('/', begin)) != std::string::npos; begin = slash + 1) {
    const int from = below.get() < 0 ? descriptor_ : below.get();
    below = open_part(from, name.substr(begin, slash - begin), O_DIRECTORY, path);
  }
  const Descriptor file = open_part(below.get() < 0 ? descriptor_ : below.get(), name.substr(begin), 0, path);
  struct stat status {};
  if (fstat(file.get(), &status) != 0) fail_to_read(path, errno);
  if (!S_ISREG(status.st_mode)) fail(path, "a file", "a folder, a device or a pipe");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > most) fail(path, "at most " + std::to_string(most) + " bytes", std::to_string(size));

  std::string bytes(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::read(file.get(), bytes.data() + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_to_read(path, errno);
    if (n == 0) fail(path, "left alone while it is read", "a file that is shorter by now");
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

}  // namespace mbmf
