// Many MuJoCo simulations of one task, on MuJoCo's C batch API (mjbatch.h).
//
// A simulation is its integration-state row; steps run on a pool of threads with bit-identical results at any
// thread count. Start states are a pure function of (seed, simulation, how often it was reset). Not
// thread-safe.

#ifndef MBMF_PHYSICS_SIMULATOR_H_
#define MBMF_PHYSICS_SIMULATOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mbmf/task/task.h"

namespace mbmf {

// What a simulation draws its next start state from: it is that of simulation `sequence` of a simulator with
// `seed`, which was reset so often.
struct StartDraws {
  std::uint64_t seed, sequence, resets;
};

class Simulator {
 public:
  // nthread as for ThreadPool. All simulations start reset (kDefault). Throws std::invalid_argument on counts
  // out of range and mbmf::Error if MuJoCo fails.
  Simulator(std::shared_ptr<const Task> task, int nsim, int nthread, std::uint64_t seed);
  ~Simulator();

  int nsim() const;
  int nthread() const;
  const Task& task() const;

  // Draws start states from another seed, as if no simulation had been reset before.
  void reseed(std::uint64_t seed);
  std::uint64_t seed() const;

  // `ids` here and below: sorted, unique simulations. Each of `ids` (nid; null: all) draws start states from
  // a seed of its own, seeds (nid), as the first simulation of a simulator with that seed does.
  void reseed_each(const int* ids, int nid, const std::uint64_t* seeds);

  // Of each simulation, (nsim); setting them makes a copy go on as the simulator that they are of.
  const std::vector<StartDraws>& draws() const;
  void set_draws(std::vector<StartDraws> draws);

  // Starts simulations `ids` (nid; null: all) anew.
  void reset(const int* ids, int nid, ResetKind kind);

  // Starts simulations `ids` (nid; null: all) as the episodes of these numbers (nid): a pure function of
  // (seed, episode), whichever simulation runs it.
  void start(const int* ids, int nid, ResetKind kind, const std::uint64_t* episodes);

  // One control step of simulations `ids` (nid; null: all). actions (nid, naction), clipped to [-1, 1]. A
  // simulation that MuJoCo fails or that diverges (a MuJoCo warning, a non-finite state) keeps the state it
  // had, is flagged in diverged() and terminated(), and the others go on. Throws std::invalid_argument on a
  // non-finite action.
  void step(const int* ids, int nid, const double* actions);

  // Results of the last call, one row per simulation; valid until the simulator is destroyed.
  const double* states() const;            // (nsim, nstate)
  const double* observations() const;      // (nsim, nobservation)
  const double* rewards() const;           // (nsim)
  const std::uint8_t* terminated() const;  // (nsim) outside the healthy bounds, or diverged
  const std::uint8_t* diverged() const;    // (nsim)
  std::string error(int sim) const;        // why a simulation diverged, or ""

  // MuJoCo's integration-state rows (mjSTATE_INTEGRATION): rows (nid, state_size). Setting refreshes states
  // and observations; reward and flags of those simulations become 0.
  int state_size() const;
  void get_state(const int* ids, int nid, double* rows) const;
  void set_state(const int* ids, int nid, const double* rows);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mbmf

#endif  // MBMF_PHYSICS_SIMULATOR_H_
