// A kept iterator. Belongs to one session, hence to one JS thread.
#pragma once
#include "engine.h"
#include "reads.h"

namespace karst {

struct EngineSession::Cursor : RangeIterator {
  uint64_t tailBytes = UINT64_MAX;
};

}  // namespace karst
