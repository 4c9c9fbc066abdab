# Finds Eigen and defines Eigen3::Eigen: a system one, or the cmeel-eigen wheel of the Python found.

find_package(Eigen3 3.4 CONFIG QUIET)
if(NOT TARGET Eigen3::Eigen)
  find_package(Python COMPONENTS Interpreter REQUIRED)
  execute_process(
    COMMAND
      "${Python_EXECUTABLE}" -c
      "import importlib.util as u, pathlib as p; s = u.find_spec('cmeel'); print((p.Path(s.submodule_search_locations[0]).parent / 'cmeel.prefix').as_posix() if s else '')"
    OUTPUT_VARIABLE _mbmf_cmeel OUTPUT_STRIP_TRAILING_WHITESPACE)
  find_path(EigenWheel_INCLUDE_DIR Eigen/Core HINTS "${_mbmf_cmeel}/include/eigen3" "${MBMF_EIGEN_DIR}"
            PATH_SUFFIXES eigen3 NO_CACHE)
  if(EigenWheel_INCLUDE_DIR)
    add_library(Eigen3::Eigen INTERFACE IMPORTED)
    set_target_properties(Eigen3::Eigen PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${EigenWheel_INCLUDE_DIR}")
  endif()
endif()

if(TARGET Eigen3::Eigen)
  set(EigenWheel_TARGET Eigen3::Eigen)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  EigenWheel REQUIRED_VARS EigenWheel_TARGET
  REASON_FAILURE_MESSAGE "install the cmeel-eigen wheel or Debian's libeigen3-dev, or set MBMF_EIGEN_DIR")
