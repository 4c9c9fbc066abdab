# Finds MuJoCo's headers and library and defines mujoco::mujoco.
# Looks in MBMF_MUJOCO_DIR (a folder with include/ and libmujoco), then in the mujoco-core wheel of the Python
# found, which ships both.

if(NOT MBMF_MUJOCO_DIR)
  find_package(Python COMPONENTS Interpreter REQUIRED)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
            "import importlib.util as u; s = u.find_spec('mujoco'); print(s.submodule_search_locations[0] if s else '')"
    OUTPUT_VARIABLE MBMF_MUJOCO_DIR OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()

find_path(MuJoCoWheel_INCLUDE_DIR mujoco/mujoco.h HINTS "${MBMF_MUJOCO_DIR}/include" NO_CMAKE_FIND_ROOT_PATH
          NO_CACHE)
file(GLOB _mbmf_libmujoco "${MBMF_MUJOCO_DIR}/libmujoco.so.*" "${MBMF_MUJOCO_DIR}/lib/libmujoco.so*"
     "${MBMF_MUJOCO_DIR}/libmujoco*.dylib")
if(_mbmf_libmujoco)
  list(GET _mbmf_libmujoco 0 MuJoCoWheel_LIBRARY)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  MuJoCoWheel REQUIRED_VARS MuJoCoWheel_LIBRARY MuJoCoWheel_INCLUDE_DIR
  REASON_FAILURE_MESSAGE
    "install the mujoco-core wheel (pip install mujoco-core==4.0.0) or set MBMF_MUJOCO_DIR to a MuJoCo folder")

if(MuJoCoWheel_FOUND AND NOT TARGET mujoco::mujoco)
  add_library(mujoco::mujoco SHARED IMPORTED)
  set_target_properties(
    mujoco::mujoco PROPERTIES IMPORTED_LOCATION "${MuJoCoWheel_LIBRARY}"
                              INTERFACE_INCLUDE_DIRECTORIES "${MuJoCoWheel_INCLUDE_DIR}")
endif()
