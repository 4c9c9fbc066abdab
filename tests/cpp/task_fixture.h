// Robots as text, and tasks of them, for the tests of tasks and simulations.

#ifndef MBMF_TESTS_TASK_FIXTURE_H_
#define MBMF_TESTS_TASK_FIXTURE_H_

#include <mujoco/mujoco.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "mbmf/task/task.h"

namespace mbmf::fixture {

// A compiled model as MJB bytes.
inline std::vector<char> compile(const std::string& xml) {
  mjVFS vfs;
  mj_defaultVFS(&vfs);
  mj_addBufferVFS(&vfs, "model.xml", xml.data(), static_cast<int>(xml.size()));
  char error[500] = "";
  mjModel* model = mj_loadXML("model.xml", &vfs, error, sizeof(error));
  mj_deleteVFS(&vfs);
  if (model == nullptr) throw std::runtime_error(error);
  std::vector<char> mjb(static_cast<std::size_t>(mj_sizeModel(model)));
  mj_saveModel(model, nullptr, mjb.data(), static_cast<int>(mjb.size()));
  mj_deleteModel(model);
  return mjb;
}

// A legged thing that falls and hits the floor: free root, hinges, a slide, a ball, joints off their bodies'
// origins, inertial frames off and turned, a mocap body, two trees, sites and sensors. `option` and `motor`
// are XML attributes.
inline std::string creature(const std::string& option = "", const std::string& motor = "") {
  return "<mujoco><option timestep='0.004' " + option + R"(/>
    <default><joint armature='.05'/><geom density='1000' friction='.9'/></default>
    <worldbody>
      <geom type='plane' size='9 9 1'/>
      <body name='target' mocap='true' pos='1 2 3' quat='.6 0 .8 0'><geom size='.02' contype='0' conaffinity='0'/></body>
      <body name='torso' pos='.1 -.2 .6' quat='.9 .1 .3 .2'>
        <freejoint name='root'/>
        <geom type='box' size='.2 .1 .05' pos='.03 .02 .01' quat='.7 .7 0 .1'/>
        <site name='nose' pos='.2 0 .05'/>
        <body name='thigh' pos='.2 .1 0' quat='.5 .5 -.5 .5'>
          <joint name='hip' type='hinge' axis='1 2 -1' pos='.01 .03 -.02' damping='.2' ref='10'/>
          <joint name='hip2' type='hinge' axis='0 1 0' pos='-.02 0 .01' damping='1'/>
          <geom type='capsule' size='.04' fromto='0 0 0 .1 0 -.25'/>
          <body name='shin' pos='.1 0 -.25'>
            <joint name='knee' type='slide' axis='.2 0 1' range='-.1 .1' limited='true' damping='5' ref='.02'/>
            <geom type='capsule' size='.03' fromto='0 0 0 0 .1 -.2'/>
          </body>
        </body>
        <body name='arm' pos='-.2 0 0'>
          <joint name='shoulder' type='ball' pos='.02 .01 0' damping='.5'/>
          <geom type='capsule' size='.03' fromto='0 0 0 -.2 .1 .1'/>
        </body>
        <body name='tail' pos='0 0 .1'/>
      </body>
      <body name='cart' pos='2 0 .3'>
        <joint name='rail' type='slide' axis='1 0 0' damping='1'/>
        <geom type='sphere' size='.1' pos='0 0 .1'/>
      </body>
    </worldbody>
    <actuator>
      <motor joint='hip' ctrllimited='true' ctrlrange='-2 4' gear='3' )" +
         motor + R"(/>
      <motor joint='knee' gear='20'/>
    </actuator>
    <sensor>
      <subtreelinvel body='torso'/>
      <framepos objtype='site' objname='nose'/>
      <accelerometer site='nose'/>
    </sensor>
  </mujoco>)";
}

// A specification that fits a model: all qpos and qvel, no terms, the model's own start.
inline TaskSpec plain_spec(const std::vector<char>& mjb) {
  mjModel* m = mj_loadModelBuffer(mjb.data(), static_cast<mjtSize>(mjb.size()));
  TaskSpec spec;
  spec.name = "fixture";
  for (int i = 0; i < m->nq; ++i) spec.state.push_back({Source::kQpos, i});
  for (int i = 0; i < m->nv; ++i) spec.state.push_back({Source::kQvel, i});
  spec.observation = spec.state;
  spec.start_qpos.assign(m->qpos0, m->qpos0 + m->nq);
  spec.start_qvel.assign(static_cast<std::size_t>(m->nv), 0.0);
  mj_deleteModel(m);
  return spec;
}

inline std::shared_ptr<const Task> load(const std::vector<char>& mjb, TaskSpec spec) {
  return Task::load(mjb.data(), mjb.size(), std::move(spec));
}

// The creature with all that can be observed of its torso and the cart, noise on every start.
inline std::shared_ptr<const Task> creature_task(const std::string& option = "", int physics_steps = 1) {
  const std::vector<char> mjb = compile(creature(option));
  TaskSpec spec = plain_spec(mjb);
  spec.physics_steps = physics_steps;
  for (int body : {2, 7}) {
    for (int i = 0; i < 3; ++i) spec.state.push_back({Source::kSubtreeCom, 3 * body + i});
    for (int i = 0; i < 3; ++i) spec.state.push_back({Source::kSubtreeLinvel, 3 * body + i});
  }
  spec.reward = {{TermKind::kLinear, 1, {0, 1}}, {TermKind::kAction, -0.5}};
  for (Reset& reset : spec.reset) {
    reset.qpos = {NoiseKind::kNormal, 0.01};
    reset.qvel = {NoiseKind::kUniform, 0.1};
  }
  return load(mjb, std::move(spec));
}

struct DataDeleter {
  void operator()(mjData* d) const { mj_deleteData(d); }
};
using Data = std::unique_ptr<mjData, DataDeleter>;
inline Data make_data(const Task& task) { return Data(mj_makeData(task.model())); }

}  // namespace mbmf::fixture

#endif  // MBMF_TESTS_TASK_FIXTURE_H_
