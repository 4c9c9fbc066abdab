#include "task/model_loader.h"

#include <csetjmp>
#include <cstdio>
#include <mutex>
#include <string>

#include "mbmf/base/error.h"
#include "task/model_bytes.h"

namespace mbmf {

namespace {

// MuJoCo's log handler is one for the process. While a load runs ours takes the messages of the loading
// thread and hands those of all other threads on.
std::mutex loading;
mjfLogHandler previous = nullptr;
thread_local char* messages = nullptr;
thread_local std::jmp_buf* refused = nullptr;
constexpr std::size_t kMessageSize = 1024;

void take_message(const mjLogMessage* message) {
  if (messages == nullptr) {
    if (previous != nullptr) previous(message);
    return;
  }
  if (messages[0] == '\0') std::snprintf(messages, kMessageSize, "%s", message->subject);
  // after an error MuJoCo ends the process
  if (message->level >= mjLOG_ERROR) std::longjmp(*refused, 1);  // NOLINT(cert-err52-cpp)
}

// What MuJoCo, which is C, has made by then is lost where it reports an error.
mjModel* load_or_leave(const void* mjb, std::size_t size) {
  std::jmp_buf here;
  mjModel* model = nullptr;
  refused = &here;
  if (setjmp(here) == 0) {  // NOLINT(cert-err52-cpp)
    model = mj_loadModelBuffer(mjb, static_cast<mjtSize>(size));
  }
  refused = nullptr;
  return model;
}

}  // namespace

mjModel* load_model(const void* mjb, std::size_t size) {
  check_model_bytes(mjb, size);
  char text[kMessageSize] = "";
  mjModel* model;
  {
    std::lock_guard<std::mutex> lock(loading);
    messages = text;
    previous = mju_setLogHandler(take_message);
    model = load_or_leave(mjb, size);
    mju_setLogHandler(previous);
    messages = nullptr;
  }
  if (model == nullptr) throw Error(std::string("MuJoCo cannot load the model: ") + text);
  for (mjtSize i = 0; i < model->nplugin; ++i) {
    if (mjp_getPluginAtSlot(model->plugin[i]) != nullptr) continue;
    mj_deleteModel(model);
    throw Error(
        "MuJoCo cannot simulate the model: it has a plugin that this program has not loaded "
        "(mj_loadAllPluginLibraries; in Python: import mujoco)");
  }
  return model;
}

}  // namespace mbmf
