// A task's specification as JSON: what `mbmf export` writes into bundle.json.

#ifndef MBMF_SRC_EXPORT_TASK_JSON_H_
#define MBMF_SRC_EXPORT_TASK_JSON_H_

#include "export/json_field.h"
#include "mbmf/task/task.h"

namespace mbmf {

// Throws mbmf::Error. Whether it fits a model is for Task::load to say.
TaskSpec task_from_json(const JsonField& field);

}  // namespace mbmf

#endif  // MBMF_SRC_EXPORT_TASK_JSON_H_
