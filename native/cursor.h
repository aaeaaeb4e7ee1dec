// A kept iterator. Belongs to one session, hence to one JS thread.
#pragma once
#include <rocksdb/iterator.h>

#include <memory>
#include <string>

#include "engine.h"

namespace karst {

/** The bounds live here because ReadOptions only points at them. Members are destroyed from the bottom up. */
struct EngineSession::Cursor {
  std::shared_ptr<EngineSnapshot> snapshot;
  std::string start;
  std::string end;
  rocksdb::Slice startSlice;
  rocksdb::Slice endSlice;
  bool reverse = false;
  bool keysOnly = false;
  std::unique_ptr<rocksdb::Iterator> it;
};

}  // namespace karst
