#include "base/cpu.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "mbmf/base/error.h"
#include "mbmf/base/thread_pool.h"

namespace mbmf {

namespace {

// the tables that can run here, best first
std::vector<const kernel::Table*> usable() {
  std::vector<const kernel::Table*> tables;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    tables.push_back(kernel::avx512_table());
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables.push_back(kernel::avx2_table());
#endif
  tables.push_back(kernel::neon_table());
  tables.push_back(kernel::portable_table());
  std::erase(tables, nullptr);
  return tables;
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const kernel::Table* table : usable()) names.emplace_back(table->name);
  return names;
}

const kernel::Table& select_kernels() {
  const std::vector<const kernel::Table*> tables = usable();
  const char* forced = std::getenv("MBMF_FORCE_ISA");
  if (forced == nullptr || *forced == '\0') return *tables.front();
  std::string names;
  for (const kernel::Table* table : tables) {
    if (forced == std::string(table->name)) return *table;
    names.append(names.empty() ? "" : ", ").append(table->name);
  }
  throw_invalid("MBMF_FORCE_ISA must be one of ", names, " on this machine, got ", forced);
}

std::string selected_isa() { return select_kernels().name; }

double multiply_add_peak(int nthread, double seconds) {
  const kernel::Table& table = select_kernels();
  ThreadPool pool(nthread);
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kIterations = 1'000'000;
  std::vector<double> rate(static_cast<std::size_t>(pool.nthread()));
  pool.parallel_for(pool.nthread(), [&](std::int64_t item, int) {
    // the best of short runs: a shared machine only ever slows one down
    const Clock::time_point end =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    double best = 0;
    for (Clock::time_point start = Clock::now(); start < end;) {
      const double done = table.peak(kIterations);
      const Clock::time_point now = Clock::now();
      best = std::max(best, 2 * done / std::chrono::duration<double>(now - start).count());
      start = now;
    }
    rate[static_cast<std::size_t>(item)] = best;
  });
  double sum = 0;
  for (const double r : rate) sum += r;
  return sum * 1e-9;
}

}  // namespace mbmf
