// What a spinning thread does between two looks.

#ifndef MBMF_SRC_BASE_PAUSE_H_
#define MBMF_SRC_BASE_PAUSE_H_

namespace mbmf {

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace mbmf

#endif  // MBMF_SRC_BASE_PAUSE_H_
