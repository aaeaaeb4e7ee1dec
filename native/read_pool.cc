#include "read_pool.h"

#include "args.h"

namespace karst {
namespace {

constexpr size_t kReadsMax = 4096;
/** Of keys that wait. One request that is larger alone is let in. */
constexpr size_t kQueuedBytesMax = 16u << 20;
/** Of answers that JS has not taken: then the threads wait. Each may be in the middle of one answer more. */
constexpr size_t kDoneBytesMax = 16u << 20;
/** Of answers told in one turn. */
constexpr size_t kTellBytesMax = 1u << 20;
constexpr size_t kTellReadsMax = 64;

}  // namespace

ReadPool::~ReadPool() {
  Stop();
  completion_.Close();
}

bool ReadPool::Open(napi_env env, napi_value onRead) {
  return completion_.Open(
      env, onRead, "karst.reads", [this](napi_env turnEnv, napi_value callback) { Tell(turnEnv, callback); }, [this] { Stop(); });
}

uint32_t ReadPool::Add(std::unique_ptr<ColdRead> read) {
  uint32_t id = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_ || open_.size() >= kReadsMax) return 0;
    if (queuedBytes_ > 0 && queuedBytes_ + read->inputBytes() > kQueuedBytesMax) return 0;
    do {
      lastId_ = lastId_ == 0x7fffffff ? 1 : lastId_ + 1;
    } while (open_.count(lastId_) > 0);
    id = read->id = lastId_;
    queuedBytes_ += read->inputBytes();
    std::shared_ptr<ColdRead> shared(std::move(read));
    open_.emplace(id, shared);
    queue_.push_back(std::move(shared));
  }
  if (static_cast<int>(threads_.size()) < threadsMax_) threads_.emplace_back([this] { Loop(); });
  wake_.notify_one();
  completion_.Hold(true);
  return id;
}

void ReadPool::Cancel(uint32_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = open_.find(id);
  if (found == open_.end()) return;
  found->second->cancelled.store(true, std::memory_order_relaxed);
  open_.erase(found);
  if (open_.empty()) completion_.Hold(false);
}

size_t ReadPool::waiting() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return open_.size();
}

void ReadPool::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const std::shared_ptr<ColdRead> read = std::move(queue_.front());
    queue_.pop_front();
    queuedBytes_ -= read->inputBytes();
    if (read->cancelled.load(std::memory_order_relaxed)) continue;
    drained_.wait(lock, [this] { return stopping_ || doneBytes_ < kDoneBytesMax; });
    if (stopping_) return;
    lock.unlock();
    Run(*read);
    lock.lock();
    doneBytes_ += read->answer.size();
    done_.push_back(read);
    completion_.Signal();
  }
}

void ReadPool::Run(ColdRead& read) {
  rocksdb::ReadOptions options;
  if (read.snapshot != nullptr) options.snapshot = read.snapshot->snapshot;
  rocksdb::ColumnFamilyHandle* family = engine_->Family(read.cf);
  const Sink sink{nullptr, 0, &read.answer};
  try {
    if (read.kind == ColdRead::kOne) {
      read.failure = ReadOne(*engine_, options, family, read.first, read.limits.tailBytes, sink, &read.length);
    } else if (read.kind == ColdRead::kMany) {
      std::vector<rocksdb::Slice> keys;
      read.failure = KeysOf(reinterpret_cast<const uint8_t*>(read.first.data()), read.first.size(), read.count, &keys);
      if (read.failure.ok()) read.failure = ReadMany(*engine_, options, family, keys, read.limits.bytesMax, sink, &read.length);
    } else {
      RangeIterator range;
      range.start = read.first;
      range.end = read.second;
      range.reverse = read.reverse;
      options.max_skippable_internal_keys = kHiddenStep;
      range.Place(*engine_, family, options);
      read.failure = ReadPage(range, read.limits, &read.cancelled, sink, &read.length);
    }
  } catch (const std::exception& error) {
    read.failure = Failure::Of(Code::io, error.what());
  }
  read.snapshot.reset();
}

/** JS thread. A bounded part of what is done, as [id, answer, error, …]; the rest in a turn of its own. */
void ReadPool::Tell(napi_env env, napi_value callback) {
  std::vector<std::shared_ptr<ColdRead>> told;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return;
    for (size_t bytes = 0; told.size() < kTellReadsMax && bytes < kTellBytesMax && !done_.empty(); done_.pop_front()) {
      std::shared_ptr<ColdRead>& read = done_.front();
      doneBytes_ -= read->answer.size();
      if (open_.erase(read->id) == 0) continue;  // cancelled meanwhile
      bytes += read->answer.size();
      told.push_back(std::move(read));
    }
    if (open_.empty()) completion_.Hold(false);
    if (!done_.empty()) completion_.Signal();
  }
  drained_.notify_all();
  if (told.empty()) return;
  napi_value list = nullptr;
  napi_value none = nullptr;
  napi_get_undefined(env, &none);
  napi_create_array_with_length(env, told.size() * 3, &list);
  for (uint32_t i = 0; i < told.size(); i++) {
    const ColdRead& read = *told[i];
    const bool found = read.failure.ok() && read.length != kNone;
    napi_set_element(env, list, i * 3, Int(env, static_cast<int32_t>(read.id)));
    napi_set_element(env, list, i * 3 + 1, found ? Bytes(env, read.answer.data(), read.answer.size()) : none);
    napi_set_element(env, list, i * 3 + 2, read.failure.ok() ? none : MakeError(env, read.failure));
  }
  told.clear();
  // Last: the callback may close the engine, and this pool with it.
  Completion::CallBack(env, callback, 1, &list);
}

void ReadPool::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    for (auto& [id, read] : open_) read->cancelled.store(true, std::memory_order_relaxed);
  }
  wake_.notify_all();
  drained_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
  queue_.clear();
  done_.clear();
  open_.clear();
  completion_.Hold(false);
}

}  // namespace karst
