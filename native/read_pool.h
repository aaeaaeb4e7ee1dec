// Reads that may wait for a disk, on threads of their own. One pool per session, started at the first read.
#pragma once
#include <node_api.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "completion.h"
#include "reads.h"

namespace karst {

/** Everything is copied in: the JS thread may go on with its arena. */
struct ColdRead {
  enum Kind : int32_t { kOne = 0, kMany = 1, kPage = 2 };
  uint32_t id = 0;
  int32_t kind = kOne;
  int32_t cf = 0;
  /** Key; packed keys; start of the range. */
  std::string first;
  /** End of the range. */
  std::string second;
  size_t count = 0;
  bool reverse = false;
  PageLimits limits;
  /** The state that the read answers for; held until it is answered. */
  std::shared_ptr<EngineSnapshot> snapshot;
  std::atomic<bool> cancelled{false};

  std::string answer;
  int32_t length = 0;
  Failure failure;

  size_t inputBytes() const { return first.size() + second.size(); }
};

class ReadPool {
 public:
  ReadPool(Engine* engine, int threads) : engine_(engine), threadsMax_(threads) {}
  ~ReadPool();

  /** JS thread. @param onRead ([id, answer | undefined, error | undefined, …]), in a later turn than the reads came in */
  bool Open(napi_env env, napi_value onRead);
  /** JS thread. @returns its number, or 0 when the queue is full */
  uint32_t Add(std::unique_ptr<ColdRead> read);
  /** JS thread. A read that waits is dropped, one that runs stops at its next poll; neither is told of. */
  void Cancel(uint32_t id);
  /** JS thread. Joins; what is not answered never will be. Idempotent. */
  void Stop();

  size_t waiting();

 private:
  void Loop();
  void Run(ColdRead& read);
  void Tell(napi_env env, napi_value callback);

  Engine* const engine_;
  const int threadsMax_;
  Completion completion_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable drained_;
  std::deque<std::shared_ptr<ColdRead>> queue_;
  std::deque<std::shared_ptr<ColdRead>> done_;
  /** Every read that is not told yet, by number. */
  std::unordered_map<uint32_t, std::shared_ptr<ColdRead>> open_;
  size_t queuedBytes_ = 0;
  size_t doneBytes_ = 0;
  uint32_t lastId_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace karst
