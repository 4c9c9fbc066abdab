#include "task/model_bytes.h"

#include <mujoco/mjxmacro.h>
#include <mujoco/mujoco.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

// what a file begins with: an identifier, bytes of a number, how many sizes, the release, how many arrays
constexpr std::size_t kHeader = 5;
constexpr int kIdentifier = 54321;
// of anything in a model; of MuJoCo's memory to work in
constexpr mjtSize kMostOfAnything = 1 << 26, kMostMemory = mjtSize{1} << 34;

[[noreturn]] void fail(const std::string& requirement, const std::string& got) {
  throw Error("the compiled model must be " + requirement + ", got " + got);
}

void check_size(const std::string& name, mjtSize size) {
  const mjtSize least = name == "njmax" || name == "nconmax" ? -1 : 0;  // -1: as many as there is memory for
  const mjtSize most = name == "narena" || name == "nbuffer" ? kMostMemory : kMostOfAnything;
  if (size < least || size > most) fail("of sizes that can be", name + " = " + std::to_string(size));
}

}  // namespace

void check_model_bytes(const void* mjb, std::size_t size) {
  constexpr int kSizes = 0
#define X(name) +1
      MJMODEL_SIZES
#undef X
      ;
  std::array<std::int32_t, kHeader> header{};
  std::array<mjtSize, kSizes> sizes{};
  const std::size_t fixed = sizeof(header) + sizeof(sizes);
  if (size < fixed) fail("a whole file", std::to_string(size) + " bytes");
  const auto* bytes = static_cast<const char*>(mjb);
  std::memcpy(header.data(), bytes, sizeof(header));
  std::memcpy(sizes.data(), bytes + sizeof(header), sizeof(sizes));
  if (header[0] != kIdentifier || header[1] != int{sizeof(mjtNum)} || header[2] != kSizes) {
    fail("a file of mj_saveModel", "something else");
  }
  if (header[3] != mjVERSION_HEADER) {
    fail("of MuJoCo " + std::to_string(mjVERSION_HEADER), "one of " + std::to_string(header[3]));
  }

  mjModel named{};  // the sizes by their names
  const mjtSize* next = sizes.data();
#define X(name) check_size(#name, named.name = *next++);
  MJMODEL_SIZES
#undef X

  // a product is below 2^60, and the sum before it below the file's size
  const mjModel* m = &named;
  std::uint64_t announced = fixed + sizeof(m->flg_gravcomp) + sizeof(m->flg_surfacevel) +
                            sizeof(m->flg_adhesion) + sizeof(m->opt) + sizeof(m->vis) + sizeof(m->stat);
#undef MJ_M
#define MJ_M(n) m->n
#define X(type, name, rows, columns)                                                                     \
  announced += sizeof(type) * static_cast<std::uint64_t>(m->rows) * static_cast<std::uint64_t>(columns); \
  if (announced > size) fail("as long as it announces", std::to_string(size) + " bytes for more");
  MJMODEL_POINTERS
#undef X
  if (announced != size) {
    fail("as long as it announces", std::to_string(size) + " bytes for " + std::to_string(announced));
  }
}

}  // namespace mbmf
