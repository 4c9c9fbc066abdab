// An exported folder (`mbmf export`): a learned model with its task, robot and planner settings.
//
//   SHA256SUMS             of all files below, as sha256sum writes and checks it
//   bundle.json            format, versions, sizes, task, network, planner and control settings
//   dynamics.safetensors   weights and normalisation
//   value.safetensors      what ends the planner's horizon, if something does
//   policy.safetensors     what proposes candidates to it, if something does
//   model.mjb              the robot as MuJoCo compiled it: what is loaded
//   model.xml, assets/     the robot as MJCF, and task.yaml the task, for people and other programs
//   identity.json          digests and names of both
//
// Reading checks the checksum of every file, every size and every number, and needs no Python.

#ifndef MBMF_EXPORT_BUNDLE_H_
#define MBMF_EXPORT_BUNDLE_H_

#include <memory>
#include <string>

#include "mbmf/model/dynamics.h"
#include "mbmf/planning/planner.h"
#include "mbmf/task/task.h"

namespace mbmf {

struct Bundle {
  std::shared_ptr<const Task> task;
  std::shared_ptr<const Dynamics> dynamics;
  PlannerOptions planner;  // with its value and policy, or null; nthread: 0
  double period = 0;       // seconds of a control step
  std::string mbmf_version, mujoco_version, source;

  // Throws mbmf::Error, which names the file and what is wrong, if anything is: a folder that is none of
  // these, a missing, cut or changed file, an export of another MuJoCo release.
  static Bundle load(const std::string& folder);
};

}  // namespace mbmf

#endif  // MBMF_EXPORT_BUNDLE_H_
