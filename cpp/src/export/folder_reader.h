// The files of a folder that may be anybody's: regular ones that lie in it, and nothing else.

#ifndef MBMF_SRC_EXPORT_FOLDER_READER_H_
#define MBMF_SRC_EXPORT_FOLDER_READER_H_

#include <cstddef>
#include <string>

namespace mbmf {

class FolderReader {
 public:
  // Throws mbmf::Error unless `folder` can be opened; it may be a link itself.
  explicit FolderReader(std::string folder);
  ~FolderReader();
  FolderReader(const FolderReader&) = delete;
  FolderReader& operator=(const FolderReader&) = delete;

  std::string path_of(const std::string& name) const { return folder_ + "/" + name; }

  // The bytes of a file; `name` is relative, with parts between slashes, none of which is "..". Throws
  // mbmf::Error, which names the file, unless it is a regular file of at most `most` bytes that is reached
  // without links. Waits for no pipe, and takes no more memory than the file has bytes.
  std::string read(const std::string& name, std::size_t most) const;

 private:
  std::string folder_;
  int descriptor_;
};

}  // namespace mbmf

#endif  // MBMF_SRC_EXPORT_FOLDER_READER_H_
