#include "engine.h"

namespace karst {

uint32_t Engine::TakeSnapshot(const void* owner) {
  auto snapshot = std::make_shared<EngineSnapshot>(db_.get());
  const std::unique_lock<std::shared_mutex> lock(snapshotsMutex_);
  do {
    lastSnapshot_ = lastSnapshot_ == 0x7fffffff ? 1 : lastSnapshot_ + 1;  // 0 means "now"
  } while (snapshots_.count(lastSnapshot_) > 0);
  snapshots_.emplace(lastSnapshot_, Held{std::move(snapshot), owner});
  return lastSnapshot_;
}

void Engine::ReleaseSnapshot(uint32_t id) {
  std::shared_ptr<EngineSnapshot> last;
  const std::unique_lock<std::shared_mutex> lock(snapshotsMutex_);
  const auto found = snapshots_.find(id);
  if (found == snapshots_.end()) return;
  last = std::move(found->second.snapshot);
  snapshots_.erase(found);
}

void Engine::ReleaseSnapshotsOf(const void* owner) {
  const std::unique_lock<std::shared_mutex> lock(snapshotsMutex_);
  for (auto it = snapshots_.begin(); it != snapshots_.end();) {
    if (it->second.owner == owner) it = snapshots_.erase(it);
    else ++it;
  }
}

std::shared_ptr<EngineSnapshot> Engine::Snapshot(uint32_t id) const {
  const std::shared_lock<std::shared_mutex> lock(snapshotsMutex_);
  const auto found = snapshots_.find(id);
  return found == snapshots_.end() ? nullptr : found->second.snapshot;
}

size_t Engine::snapshotCount() const {
  const std::shared_lock<std::shared_mutex> lock(snapshotsMutex_);
  return snapshots_.size();
}

}  // namespace karst
