# The vector kernels: the same body compiled once per instruction set, chosen at run time (src/base/cpu.cc).
function(mbmf_add_kernels target)
  set(dir "${CMAKE_CURRENT_SOURCE_DIR}/src/kernel")
  target_sources(${target} PRIVATE ${dir}/kernel_portable.cc ${dir}/kernel_avx2.cc ${dir}/kernel_avx512.cc
                                   ${dir}/kernel_neon.cc)
  # a sanitizer checks a build's other code as well, which takes a quarter of the time to compile
  set(optimize -O3)
  if(MBMF_SANITIZE)
    set(optimize "")
  endif()
  # gcc 12 warns of its own undefined-value intrinsics in avx512fintrin.h
  set_source_files_properties(
    ${dir}/kernel_portable.cc ${dir}/kernel_avx2.cc ${dir}/kernel_avx512.cc ${dir}/kernel_neon.cc
    PROPERTIES COMPILE_OPTIONS "${optimize};-Wno-psabi;-Wno-uninitialized;-Wno-maybe-uninitialized")
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set_property(SOURCE ${dir}/kernel_avx2.cc APPEND PROPERTY COMPILE_OPTIONS "-mavx2;-mfma")
    set_property(SOURCE ${dir}/kernel_avx512.cc APPEND
                 PROPERTY COMPILE_OPTIONS "-mavx2;-mfma;-mavx512f;-mavx512dq;-mavx512bw;-mavx512vl")
  endif()
endfunction()
