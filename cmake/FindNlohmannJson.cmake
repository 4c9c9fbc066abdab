# Finds nlohmann/json and defines nlohmann_json::nlohmann_json: a system one, or the nlohmann-json wheel of the
# Python found.

find_package(nlohmann_json 3.11 CONFIG QUIET)
if(NOT TARGET nlohmann_json::nlohmann_json)
  find_package(Python COMPONENTS Interpreter REQUIRED)
  execute_process(
    COMMAND
      "${Python_EXECUTABLE}" -c
      "import importlib.util as u; s = u.find_spec('nlohmann_json'); print(s.submodule_search_locations[0] if s else '')"
    OUTPUT_VARIABLE _mbmf_nlohmann_json OUTPUT_STRIP_TRAILING_WHITESPACE)
  find_path(NlohmannJson_INCLUDE_DIR nlohmann/json.hpp HINTS "${MBMF_NLOHMANN_JSON_DIR}"
                                                             "${_mbmf_nlohmann_json}/include"
            NO_CACHE)
  if(NlohmannJson_INCLUDE_DIR)
    add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED)
    set_target_properties(nlohmann_json::nlohmann_json PROPERTIES INTERFACE_INCLUDE_DIRECTORIES
                                                                  "${NlohmannJson_INCLUDE_DIR}")
  endif()
endif()

if(TARGET nlohmann_json::nlohmann_json)
  set(NlohmannJson_TARGET nlohmann_json::nlohmann_json)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  NlohmannJson REQUIRED_VARS NlohmannJson_TARGET
  REASON_FAILURE_MESSAGE
    "install the nlohmann-json wheel or Debian's nlohmann-json3-dev, or set MBMF_NLOHMANN_JSON_DIR")
