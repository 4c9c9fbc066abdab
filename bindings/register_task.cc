// Task and the structures of its specification.

#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "array_args.h"
#include "gil.h"
#include "mbmf/model/policy.h"
#include "mbmf/task/known_states.h"
#include "mbmf/task/task.h"

namespace mbmf::bindings {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

py::list term_dicts() {
  py::list table;
  for (const TermInfo& info : term_table()) {
    py::dict entry;
    entry["name"] = info.name;
    entry["meaning"] = info.meaning;
    entry["states"] = info.states;
    entry["targets"] = info.targets;
    entry["bounds"] = info.bounds;
    entry["default_weight"] = info.default_weight;
    entry["quaternions"] = info.quaternions;
    table.append(entry);
  }
  return table;
}

void register_enums(py::module_& module) {
  py::native_enum<Source>(module, "Source", "enum.IntEnum", "Where a number comes from in mjData.")
      .value("TIME", Source::kTime)
      .value("QPOS", Source::kQpos)
      .value("QVEL", Source::kQvel)
      .value("ACT", Source::kAct)
      .value("SENSOR", Source::kSensor)
      .value("BODY_POS", Source::kBodyPos)
      .value("BODY_ROTATION", Source::kBodyRotation)
      .value("SITE_POS", Source::kSitePos)
      .value("SUBTREE_COM", Source::kSubtreeCom)
      .value("SUBTREE_LINVEL", Source::kSubtreeLinvel)
      .value("BODY_EULER", Source::kBodyEuler)
      .value("CONTACT_FORCE", Source::kContactForce)
      .value("TENDON_LENGTH", Source::kTendonLength)
      .value("TENDON_VELOCITY", Source::kTendonVelocity)
      .value("ACTUATOR_FORCE", Source::kActuatorForce)
      .value("SITE_ROTATION", Source::kSiteRotation)
      .value("BODY_VELOCITY", Source::kBodyVelocity)
      .value("SITE_VELOCITY", Source::kSiteVelocity)
      .value("QACC", Source::kQacc)
      .value("GEOM_DISTANCE", Source::kGeomDistance)
      .value("BODY_QUAT", Source::kBodyQuat)
      .value("GOAL", Source::kGoal)
      .value("REFERENCE", Source::kReference)
      .finalize();
  py::native_enum<Transform>(module, "Transform", "enum.IntEnum", "What is done to a number that was read.")
      .value("IDENTITY", Transform::kIdentity)
      .value("COS", Transform::kCos)
      .value("SIN", Transform::kSin)
      .value("RATE", Transform::kRate)
      .finalize();
  py::native_enum<TermKind> kinds(module, "TermKind", "enum.IntEnum", "The kinds of reward and cost terms.");
  for (const TermInfo& info : term_table()) {
    std::string name = info.name;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    kinds.value(name.c_str(), info.kind);
  }
  kinds.finalize();
  module.def("term_kinds", &term_dicts, "The kinds of terms and what each may have, as dictionaries.");
  py::native_enum<NoiseKind>(module, "NoiseKind", "enum.IntEnum", "The kinds of noise on a start state.")
      .value("NONE", NoiseKind::kNone)
      .value("NORMAL", NoiseKind::kNormal)
      .value("UNIFORM", NoiseKind::kUniform)
      .finalize();
  py::native_enum<ResetKind>(module, "ResetKind", "enum.IntEnum", "How an episode starts.")
      .value("DEFAULT", ResetKind::kDefault)
      .value("RANDOM", ResetKind::kRandom)
      .value("CONTROL", ResetKind::kControl)
      .finalize();
}

void register_motion(py::module_& module) {
  py::class_<Goal>(module, "Goal", "What an episode has to reach: a number, or a unit quaternion.")
      .def(py::init<bool, double, double>(), py::arg("is_rotation"), py::arg("low"), py::arg("high"))
      .def_readwrite("is_rotation", &Goal::is_rotation)
      .def_readwrite("low", &Goal::low)
      .def_readwrite("high", &Goal::high);
  py::class_<Reference>(module, "Reference", "Numbers over time (mbmf/task/motion.h).")
      .def(py::init<>())
      .def_readwrite("time", &Reference::time)
      .def_readwrite("value", &Reference::value, "Row by row.")
      .def_readwrite("columns", &Reference::columns)
      .def_readwrite("loop", &Reference::loop)
      .def_readwrite("quaternion", &Reference::quaternion)
      .def(
          "at",
          [](const Reference& reference, double t) {
            check_reference(reference, "reference");
            std::vector<double> row(static_cast<std::size_t>(reference.columns));
            reference.at(t, row.data());
            return row;
          },
          py::arg("t"), "The numbers at a time in seconds, (columns).");
  py::class_<MocapFollow>(module, "MocapFollow", "A mocap body that follows a reference.")
      .def(py::init<int, int, int, int>(), py::arg("body"), py::arg("reference"), py::arg("position"),
           py::arg("quaternion"))
      .def_readwrite("body", &MocapFollow::body)
      .def_readwrite("reference", &MocapFollow::reference)
      .def_readwrite("position", &MocapFollow::position)
      .def_readwrite("quaternion", &MocapFollow::quaternion);
  py::native_enum<MocapMove::Kind>(module, "MocapMoveKind", "enum.IntEnum", "How an action moves a body.")
      .value("POSITION", MocapMove::Kind::kPosition)
      .value("VELOCITY", MocapMove::Kind::kVelocity)
      .value("TURN", MocapMove::Kind::kTurn)
      .finalize();
  py::class_<MocapMove>(module, "MocapMove", "A mocap body moved by an action.")
      .def(py::init<MocapMove::Kind, int, int, double, double, double>(), py::arg("kind"), py::arg("body"),
           py::arg("axis"), py::arg("low"), py::arg("high"), py::arg("speed"))
      .def_readwrite("kind", &MocapMove::kind)
      .def_readwrite("body", &MocapMove::body)
      .def_readwrite("axis", &MocapMove::axis)
      .def_readwrite("low", &MocapMove::low)
      .def_readwrite("high", &MocapMove::high)
      .def_readwrite("speed", &MocapMove::speed);
}

void register_structures(py::module_& module) {
  py::class_<Bounds>(module, "Bounds", "An interval; NaN is outside.")
      .def(py::init<double, double, bool, bool>(), py::arg("low"), py::arg("high"),
           py::arg("low_open") = false, py::arg("high_open") = false)
      .def_readwrite("low", &Bounds::low)
      .def_readwrite("high", &Bounds::high)
      .def_readwrite("low_open", &Bounds::low_open)
      .def_readwrite("high_open", &Bounds::high_open);
  py::class_<Channel>(module, "Channel", "One dimension of a state: a source, transformed, then clipped.")
      .def(py::init<Source, int, Transform, double, double, bool>(), py::arg("source"),
           py::arg("address") = 0, py::arg("transform") = Transform::kIdentity, py::arg("low") = -kInfinity,
           py::arg("high") = kInfinity, py::arg("lagged") = false)
      .def_readwrite("source", &Channel::source)
      .def_readwrite("address", &Channel::address)
      .def_readwrite("transform", &Channel::transform)
      .def_readwrite("low", &Channel::low)
      .def_readwrite("high", &Channel::high)
      .def_readwrite("lagged", &Channel::lagged);
  py::class_<ChannelBound>(module, "ChannelBound", "A number of mjData that must stay within bounds.")
      .def(py::init<Channel, Bounds>(), py::arg("channel"), py::arg("bounds"))
      .def_readwrite("channel", &ChannelBound::channel)
      .def_readwrite("bounds", &ChannelBound::bounds);
  py::class_<StateBound>(module, "StateBound", "A state dimension that must stay within bounds.")
      .def(py::init<int, Bounds>(), py::arg("index"), py::arg("bounds"))
      .def_readwrite("index", &StateBound::index)
      .def_readwrite("bounds", &StateBound::bounds);
  py::class_<Term>(module, "Term", "One term of a reward or a cost.")
      .def(
          py::init<TermKind, double, std::vector<int>, std::vector<double>, std::vector<int>, Bounds, bool>(),
          py::arg("kind"), py::arg("weight"), py::arg("index") = std::vector<int>(),
          py::arg("target") = std::vector<double>(), py::arg("target_index") = std::vector<int>(),
          py::arg_v("bounds", Bounds{0, 0}, "Bounds(0, 0)"), py::arg("terminal") = false)
      .def_readwrite("kind", &Term::kind)
      .def_readwrite("weight", &Term::weight)
      .def_readwrite("index", &Term::index)
      .def_readwrite("target", &Term::target)
      .def_readwrite("target_index", &Term::target_index)
      .def_readwrite("bounds", &Term::bounds)
      .def_readwrite("terminal", &Term::terminal);
  py::class_<Noise>(module, "Noise",
                    "Noise on a start vector: scale * N(0, 1), or uniform in [-scale, scale).")
      .def(py::init<NoiseKind, double>(), py::arg("kind") = NoiseKind::kNone, py::arg("scale") = 0.0)
      .def_readwrite("kind", &Noise::kind)
      .def_readwrite("scale", &Noise::scale);
  py::class_<Reset::Set>(module, "ResetSet", "A start qpos that is set to a value uniform in [low, high).")
      .def(py::init<int, double, double>(), py::arg("index"), py::arg("low"), py::arg("high"))
      .def_readwrite("index", &Reset::Set::index)
      .def_readwrite("low", &Reset::Set::low)
      .def_readwrite("high", &Reset::Set::high);
  py::class_<Reset::Own>(module, "ResetOwn", "Noise of one number of a start, or of one quaternion.")
      .def(py::init<int, Noise>(), py::arg("index"), py::arg("noise"))
      .def_readwrite("index", &Reset::Own::index)
      .def_readwrite("noise", &Reset::Own::noise);
  py::class_<Reset>(module, "Reset", "How an episode starts (mbmf/task/reset.h).")
      .def(py::init<Noise, Noise, std::vector<Reset::Set>>(), py::arg_v("qpos", Noise{}, "Noise()"),
           py::arg_v("qvel", Noise{}, "Noise()"), py::arg("set_qpos") = std::vector<Reset::Set>())
      .def_readwrite("qpos", &Reset::qpos)
      .def_readwrite("qvel", &Reset::qvel)
      .def_readwrite("set_qpos", &Reset::set_qpos)
      .def_readwrite("own_qpos", &Reset::own_qpos)
      .def_readwrite("own_qvel", &Reset::own_qvel)
      .def_readwrite("turns", &Reset::turns)
      .def_readwrite("set_mocap", &Reset::set_mocap)
      .def_readwrite("mocap_turns", &Reset::mocap_turns)
      .def_readwrite("set_time", &Reset::set_time);
  py::class_<PathCost>(module, "PathCost", "A path of waypoints to follow, and its cost (mbmf/task/path.h).")
      .def(py::init<>())
      .def_property(
          "waypoints",
          [](const PathCost& path) {
            py::array_t<double> points = make_array<double>({path.npoint(), 2});
            std::copy_n(path.waypoints.data(), points.size(), points.mutable_data());
            return points;
          },
          [](PathCost& path, const py::array& points) {
            const double* p = input<double>(points, "waypoints", {"P", 2});
            path.waypoints.assign(p, p + points.size());
          },
          "x and y, float64 (P, 2).")
      .def_readwrite("relative", &PathCost::relative)
      .def_readwrite("x", &PathCost::x)
      .def_readwrite("y", &PathCost::y)
      .def_readwrite("heading", &PathCost::heading)
      .def_readwrite("distance", &PathCost::distance)
      .def_readwrite("far", &PathCost::far)
      .def_readwrite("far_factor", &PathCost::far_factor)
      .def_readwrite("forward", &PathCost::forward)
      .def_readwrite("turn", &PathCost::turn)
      .def_readwrite("turn_limit", &PathCost::turn_limit)
      .def_readwrite("turn_beyond", &PathCost::turn_beyond)
      .def_readwrite("strict", &PathCost::strict)
      .def_readwrite("last_segment", &PathCost::last_segment);
  py::class_<TaskSpec>(module, "TaskSpec",
                       "What a task is. Lists are copied when read: assign a whole list to change one.")
      .def(py::init<>())
      .def_readwrite("name", &TaskSpec::name)
      .def_readwrite("physics_steps", &TaskSpec::physics_steps)
      .def_readwrite("state", &TaskSpec::state)
      .def_readwrite("observation", &TaskSpec::observation)
      .def_readwrite("reward_state", &TaskSpec::reward_state)
      .def_readwrite("reward", &TaskSpec::reward)
      .def_readwrite("healthy_reward", &TaskSpec::healthy_reward)
      .def_readwrite("cost", &TaskSpec::cost)
      .def_readwrite("path", &TaskSpec::path)
      .def_readwrite("alive", &TaskSpec::alive)
      .def_readwrite("dying_cost", &TaskSpec::dying_cost)
      .def_readwrite("healthy", &TaskSpec::healthy)
      .def_readwrite("keyframe", &TaskSpec::keyframe, "Of the model; -1: none.")
      .def_readwrite("start_qpos", &TaskSpec::start_qpos)
      .def_readwrite("start_qvel", &TaskSpec::start_qvel)
      .def_readwrite("start_mocap", &TaskSpec::start_mocap, "(nmocap * 7); empty: the model's.")
      .def_readwrite("goals", &TaskSpec::goals)
      .def_readwrite("references", &TaskSpec::references)
      .def_readwrite("follows", &TaskSpec::follows)
      .def_readwrite("moves", &TaskSpec::moves)
      .def_readwrite("safe_action", &TaskSpec::safe_action)
      .def_property(
          "reset",
          [](const TaskSpec& spec) {
            return std::array<Reset, 3>{spec.reset[0], spec.reset[1], spec.reset[2]};
          },
          [](TaskSpec& spec, const std::array<Reset, 3>& reset) {
            std::copy(reset.begin(), reset.end(), spec.reset);
          },
          "Three resets, by ResetKind.");
}

py::array_t<double> cost(const Task& task, const py::array& states, const py::array& actions, int segment,
                         const std::array<double, 2>& origin) {
  const PathStart start{segment, {origin[0], origin[1]}};
  check_array<float>(actions, "actions", {"K", "H", task.naction()});
  const py::ssize_t k = actions.shape(0), horizon = actions.shape(1);
  if (horizon < 1) throw_invalid("actions must be sequences of at least one action, got H = 0");
  const float* s = input<float>(states, "states", {k, horizon + 1, task.nstate()});
  const float* a = static_cast<const float*>(actions.data());
  py::array_t<double> out = make_array<double>({k});
  double* c = out.mutable_data();
  const ReleaseGil release;
  task.cost(s, a, static_cast<int>(k), static_cast<int>(horizon), start, c);
  return out;
}

}  // namespace

void register_task(py::module_& module) {
  register_enums(module);
  register_motion(module);
  register_structures(module);
  py::class_<Task, std::shared_ptr<Task>>(module, "Task",
                                          "A compiled task. Immutable; may be used from several threads.")
      .def(py::init([](const py::bytes& mjb, TaskSpec spec) {
             const std::string_view bytes = mjb;
             return std::const_pointer_cast<Task>(Task::load(bytes.data(), bytes.size(), std::move(spec)));
           }),
           py::arg("mjb"), py::arg("spec"))
      .def_property_readonly("name", [](const Task& task) { return task.spec().name; })
      .def_property_readonly(
          "spec", [](const Task& task) { return task.spec(); }, "A copy of the specification.")
      .def_property_readonly("nstate", &Task::nstate)
      .def_property_readonly("nobservation", &Task::nobservation)
      .def_property_readonly("naction", &Task::naction)
      .def(
          "to_control",
          [](const Task& task, const py::array& action) {
            const double* a = input<double>(action, "action", {task.naction()});
            py::array_t<double> control = make_array<double>({static_cast<py::ssize_t>(task.model()->nu)});
            task.to_control(a, control.mutable_data());
            return control;
          },
          py::arg("action"), "The actuators' controls of an action (naction): float64 (nu,).")
      .def_property_readonly("dt", &Task::dt, "Seconds of one control step.")
      .def_property_readonly("nmemory", &Task::nmemory,
                             "Numbers of a simulation's user data that the task keeps.")
      .def_property_readonly(
          "mjb",
          [](const Task& task) {
            std::vector<char> mjb(static_cast<std::size_t>(mj_sizeModel(task.model())));
            mj_saveModel(task.model(), nullptr, mjb.data(), static_cast<int>(mjb.size()));
            return py::bytes(mjb.data(), mjb.size());
          },
          "The compiled robot in MuJoCo's binary format, with room for that.")
      .def_property_readonly(
          "known_states", [](const Task& task) { return task.known().index(); },
          "Which states a plan knows beforehand: the time and references, where there are references.")
      .def_property_readonly("observes_state", &Task::observes_state,
                             "Whether the observation is the state, channel by channel.")
      .def_property_readonly(
          "unpredicted_observations", &unpredicted_observations,
          "Which observations do not follow from the states, so that no model predicts them.")
      .def_property_readonly(
          "ends_are_predicted", &ends_are_predicted,
          "Whether a model says where episodes end: alive does, or all of healthy are states.")
      .def_property_readonly(
          "is_sparse", [](const Task& task) { return mj_isSparse(task.model()) != 0; },
          "Whether MuJoCo would use sparse constraint Jacobians.")
      .def("cost", &cost, py::arg("states"), py::arg("actions"), py::arg("segment") = 0,
           py::arg("origin") = std::array<double, 2>{0, 0},
           "Planning cost of K candidates: states float32 (K, H + 1, nstate), actions float32 (K, H, "
           "naction) -> "
           "float64 (K,).");
}

}  // namespace mbmf::bindings
