// SHA-256 (FIPS 180-4).

#ifndef MBMF_SRC_EXPORT_SHA256_H_
#define MBMF_SRC_EXPORT_SHA256_H_

#include <cstddef>
#include <string>

namespace mbmf {

// The digest of some bytes, as 64 lower-case hexadecimal digits.
std::string sha256(const void* data, std::size_t size);

}  // namespace mbmf

#endif  // MBMF_SRC_EXPORT_SHA256_H_
