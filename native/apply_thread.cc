// Batches and flushes off the JS thread. One queue keeps their order: a flush covers what was submitted before it.
#include <rocksdb/options.h>

#include "args.h"
#include "cursor.h"
#include "engine.h"
#include "read_pool.h"

namespace karst {
namespace {

/** A batch up to this size, met by an empty queue, costs less on the spot than a hop to another thread and back. */
constexpr size_t kInlineBytesMax = 64 << 10;

}  // namespace

Failure EngineSession::Open(napi_env env, const EngineOptions& options, napi_value onDone, std::shared_ptr<EngineSession>* result) {
  std::shared_ptr<EngineSession> session(new EngineSession());
  Engine* engine = nullptr;
  if (Failure failure = EngineRegistry::Get().Attach(options, &engine, &session->path_); !failure.ok()) return failure;
  session->engine_ = engine;
  EngineSession* self = session.get();
  const bool opened = self->completion_.Open(
      env, onDone, "karst.engine", [self](napi_env turnEnv, napi_value callback) { self->Tell(turnEnv, callback); },
      [self] { self->Close(); });
  if (!opened) return Failure::Of(Code::invalid, "no completion function");
  *result = std::move(session);
  return {};
}

EngineSession::~EngineSession() {
  Close();
  completion_.Close();
}

bool EngineSession::idle() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return pendingApplies_ == 0;
}

void EngineSession::StartThreads() {
  if (applyThread_.joinable()) return;
  applyThread_ = std::thread([this] { ApplyLoop(); });
  flushThread_ = std::thread([this] { FlushLoop(); });
}

Failure EngineSession::TryWrite(const uint8_t* data, size_t size, bool* done) {
  *done = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!failure_.ok()) return failure_;
    if (size > kInlineBytesMax || pendingApplies_ > 0) return {};
  }
  const rocksdb::Status status = engine_->Write(data, size, false);
  // A write stall: to be waited for on the apply thread, not on the event loop.
  if (status.IsIncomplete()) return {};
  if (!status.ok()) return Failure::Of(status);
  *done = true;
  return {};
}

Failure EngineSession::Submit(const uint8_t* data, size_t size, uint64_t* ordinal) {
  *ordinal = 0;
  bool done = false;
  if (Failure failure = TryWrite(data, size, &done); !failure.ok() || done) return failure;
  StartThreads();
  Item item;
  item.batch.assign(data, data + size);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(item));
    pendingApplies_++;
    *ordinal = ++submitted_;
  }
  wakeApply_.notify_one();
  completion_.Hold(true);
  return {};
}

uint64_t EngineSession::Flush() {
  StartThreads();
  uint64_t ordinal = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ordinal = ++flushesAsked_;
    Item item;
    item.isFlush = true;
    queue_.push_back(std::move(item));
  }
  wakeApply_.notify_one();
  completion_.Hold(true);
  return ordinal;
}

void EngineSession::ApplyLoop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wakeApply_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Item item = std::move(queue_.front());
    queue_.pop_front();
    if (item.isFlush) {
      flushesReady_++;
      wakeFlush_.notify_one();
      continue;
    }
    const bool broken = !failure_.ok();
    lock.unlock();
    if (!broken) {
      const rocksdb::Status status = engine_->Write(item.batch.data(), item.batch.size(), true);
      if (!status.ok()) Fail(status);
    }
    lock.lock();
    applied_++;
    pendingApplies_--;
    completion_.Signal();
  }
}

void EngineSession::FlushLoop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wakeFlush_.wait(lock, [this] { return stopping_ || flushesReady_ > flushesDone_; });
    if (flushesReady_ == flushesDone_) return;
    const uint64_t covers = flushesReady_;  // several requests, one flush
    lock.unlock();
    rocksdb::FlushOptions options;
    options.allow_write_stall = true;  // prompt; writers in the meantime go to the apply thread
    const rocksdb::Status status = engine_->db()->Flush(options, engine_->families());
    if (!status.ok()) Fail(status);
    lock.lock();
    flushesDone_ = covers;
    completion_.Signal();
  }
}

void EngineSession::Fail(const rocksdb::Status& status) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (failure_.ok()) failure_ = Failure::Of(status);
}

/** JS thread: onDone(applied, flushed, error | undefined). After an error the counts of later work mean nothing. */
void EngineSession::Tell(napi_env env, napi_value callback) {
  double applied = 0;
  double flushed = 0;
  Failure failure;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    applied = static_cast<double>(applied_);
    flushed = static_cast<double>(flushesDone_);
    if (!failure_.ok() && !failureTold_) failure = failure_;
    failureTold_ = !failure_.ok();
    if (applied_ == submitted_ && flushesDone_ == flushesAsked_) completion_.Hold(false);
  }
  napi_value none = nullptr;
  napi_get_undefined(env, &none);
  napi_value arguments[3] = {Number(env, applied), Number(env, flushed), none};
  if (!failure.ok()) arguments[2] = MakeError(env, failure);
  Completion::CallBack(env, callback, 3, arguments);
}

void EngineSession::StopThreads() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wakeApply_.notify_all();
  if (applyThread_.joinable()) applyThread_.join();
  wakeFlush_.notify_all();
  if (flushThread_.joinable()) flushThread_.join();
}

void EngineSession::Close() {
  if (engine_ == nullptr) return;
  StopThreads();
  if (reads != nullptr) reads->Stop();
  cursors.clear();
  engine_->ReleaseSnapshotsOf(this);
  engine_ = nullptr;
  EngineRegistry::Get().Detach(path_);
}

}  // namespace karst
