// Which searches there are: the one place that knows them all.

#include <algorithm>
#include <cmath>

#include "mbmf/base/error.h"
#include "planning/searches.h"

namespace mbmf {

const std::vector<SearchKind>& search_kinds() {
  static const std::vector<SearchKind> kinds = {random_shooting_kind(), cem_kind(), icem_kind(), mppi_kind()};
  return kinds;
}

const SearchKind& search_kind(const std::string& name) {
  std::string names;
  for (const SearchKind& kind : search_kinds()) {
    if (kind.name == name) return kind;
    names += (names.empty() ? "" : ", ") + kind.name;
  }
  throw_invalid("search must be one of ", names, ", got ", name);
}

}  // namespace mbmf
