# Compiles through ccache where it is installed: another build of the same sources is a matter of seconds. Paths below the
# checkout are hashed relative to the build folder, so checkouts share what build folders of one depth (build/<name>) compile.
if(NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(MBMF_CCACHE ccache)
  if(MBMF_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" "${MBMF_CCACHE}")
  endif()
endif()
