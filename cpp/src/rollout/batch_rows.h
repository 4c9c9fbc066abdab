// Rows that are added to the vectors of a PolicyBatch.

#ifndef MBMF_SRC_ROLLOUT_BATCH_ROWS_H_
#define MBMF_SRC_ROLLOUT_BATCH_ROWS_H_

#include <vector>

namespace mbmf {

template <typename T>
void append(const std::vector<T>& from, std::vector<T>* to) {
  to->insert(to->end(), from.begin(), from.end());
}

template <typename T>
void append_row(const T* row, int size, std::vector<T>* to) {
  to->insert(to->end(), row, row + size);
}

}  // namespace mbmf

#endif  // MBMF_SRC_ROLLOUT_BATCH_ROWS_H_
