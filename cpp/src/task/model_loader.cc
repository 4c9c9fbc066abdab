#include "task/model_loader.h"

#include <cstdio>
#include <mutex>
#include <string>

#include "mbmf/base/error.h"

namespace mbmf {

namespace {

// MuJoCo's log handler is one for the process. While a load runs ours takes the messages of the loading
// thread and hands those of all other threads on.
std::mutex loading;
mjfLogHandler previous = nullptr;
thread_local char* messages = nullptr;
constexpr std::size_t kMessageSize = 1024;

void take_message(const mjLogMessage* message) {
  if (messages != nullptr && message->level < mjLOG_ERROR) {
    if (messages[0] == '\0') std::snprintf(messages, kMessageSize, "%s", message->subject);
  } else if (previous != nullptr) {
    previous(message);
  }
}

}  // namespace

mjModel* load_model(const void* mjb, std::size_t size) {
  char text[kMessageSize] = "";
  mjModel* model;
  {
    std::lock_guard<std::mutex> lock(loading);
    messages = text;
    previous = mju_setLogHandler(take_message);
    model = mj_loadModelBuffer(mjb, static_cast<mjtSize>(size));
    mju_setLogHandler(previous);
    messages = nullptr;
  }
  if (model == nullptr) throw Error(std::string("MuJoCo cannot load the model: ") + text);
  return model;
}

}  // namespace mbmf
