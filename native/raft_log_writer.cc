#include "raft_log_writer.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace karst {
namespace {

constexpr uint64_t kStepBytesMin = 64 << 10;
constexpr uint64_t kStepBytesMax = 4 << 20;
constexpr int kExitCode = 70;

constexpr uint64_t kSpareStepBytes = 1 << 20;
constexpr uint64_t kPageBytes = 4096;

/**
 * A page at a time: what is written in one go may become one large folio of the page cache, and each small group that is
 * synced into it later would make all of it dirty.
 */
bool WriteZeros(int fd, uint64_t from, uint64_t to) {
  static const uint8_t zeros[kPageBytes] = {};
  while (from < to) {
    const uint64_t count = std::min(kPageBytes - from % kPageBytes, to - from);
    if (!WriteFully(fd, zeros, count, from)) return false;
    from += count;
  }
  return true;
}

/**
 * A log that could not be written or synced is over: after a failed fsync the kernel may have dropped the dirty pages,
 * so trying again can report success for bytes that are gone. Whoever was not told "durable" learns the truth at restart.
 */
[[noreturn]] void Die(const std::string& what, int error) {
  std::fprintf(stderr, "raft-log.fatal what=\"%s\" errno=%d exit=%d\n", what.c_str(), error, kExitCode);
  std::fflush(stderr);
  _exit(kExitCode);
}

}  // namespace

bool WriteFully(int fd, const uint8_t* from, uint64_t bytes, uint64_t offset) {
  while (bytes > 0) {
    const ssize_t count = pwrite(fd, from, bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = EIO;
    if (count <= 0) return false;
    from += count;
    offset += static_cast<uint64_t>(count);
    bytes -= static_cast<uint64_t>(count);
  }
  return true;
}

SegmentFile::~SegmentFile() {
  if (fd >= 0) close(fd);
}

std::string SegmentName(uint32_t segment) {
  char name[32];
  std::snprintf(name, sizeof name, "%010u.seg", segment);
  return name;
}

std::string SpareName(uint64_t number) { return "spare-" + std::to_string(number) + ".tmp"; }

Failure ReadFully(int fd, uint8_t* to, uint64_t bytes, uint64_t offset) {
  while (bytes > 0) {
    const ssize_t count = pread(fd, to, bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Failure::OfErrno(errno, "raft log read");
    if (count == 0) return Failure::Of(Code::corruption, "raft log segment ends too early");
    to += count;
    offset += static_cast<uint64_t>(count);
    bytes -= static_cast<uint64_t>(count);
  }
  return {};
}

Failure SyncFolder(const std::string& dir) {
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Failure::OfErrno(errno, "open " + dir);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  return result == 0 ? Failure{} : Failure::OfErrno(error, "fsync " + dir);
}

void LogWriter::Adopt(uint32_t segment, std::shared_ptr<SegmentFile> file) { files_[segment] = std::move(file); }

Failure LogWriter::Rewrite(Position from, const std::vector<uint8_t>& bytes) {
  const auto found = files_.find(from.segment);
  if (found == files_.end() || bytes.empty()) return {};
  const int fd = found->second->fd;
  if (WriteFully(fd, bytes.data(), bytes.size(), from.offset) && fdatasync(fd) == 0) return {};
  return Failure::OfErrno(errno, "write and sync " + options_.dir + "/" + SegmentName(from.segment));
}

void LogWriter::ForgetCached(uint32_t segment) {
  const auto found = files_.find(segment);
  if (found != files_.end()) posix_fadvise(found->second->fd, 0, 0, POSIX_FADV_DONTNEED);
}

void LogWriter::AdoptSpare(uint64_t number, uint64_t bytes) {
  spareNumber_ = std::max(spareNumber_, number);
  spares_.push_back({SpareName(number), bytes});
}

void LogWriter::Start(Position end, uint64_t sequence, uint32_t incarnation, const LogSecret& secret) {
  secret_ = secret;
  seal_ = secret.Of(end.segment);
  next_ = writtenEnd_ = durableEnd_ = end;
  sequence_ = writtenSequence_ = durableSequence_ = sequence;
  incarnation_ = incarnation;
  markedDurable_ = end.Packed();
  started_ = true;
  // From here on groups of earlier lives that never became durable, and may lie behind `end`, are out of date.
  Queue(nullptr, 0, 0, kOpenMark, false);
  writer_ = std::thread([this] { WriteLoop(); });
  preparer_ = std::thread([this] { PrepareLoop(); });
}

Position LogWriter::Append(const uint8_t* records, uint64_t bytes, uint32_t count, uint32_t flags, bool sync, uint64_t* sequence) {
  Position at;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    at = Queue(records, bytes, count, flags, sync);
    *sequence = sequence_;
  }
  wake_.notify_one();
  return at;
}

/** Under mutex_ (or before the threads). */
Position LogWriter::Queue(const uint8_t* records, uint64_t bytes, uint32_t count, uint32_t flags, bool sync) {
  const uint64_t total = kGroupHeaderBytes + bytes;
  if (next_.offset > 0 && next_.offset + total > options_.segmentBytes) {
    next_ = {next_.segment + 1, 0};
    seal_ = secret_.Of(next_.segment);
  }
  const bool extends = !queue_.empty() && queue_.back().start.segment == next_.segment;
  if (!extends) {
    Chunk chunk;
    if (!recycled_.empty()) {
      chunk = std::move(recycled_.back());
      recycled_.pop_back();
    }
    chunk.bytes.clear();
    chunk.start = next_;
    queue_.push_back(std::move(chunk));
  }
  std::vector<uint8_t>& out = queue_.back().bytes;
  const size_t start = out.size();
  out.resize(start + total);
  uint8_t* body = out.data() + start + kGroupHeaderBytes;
  if (bytes > 0) std::memcpy(body, records, bytes);
  for (uint64_t at = 0; at < bytes; at += Record{body + at}.bytes()) Record::Close(body + at, seal_);
  GroupHeader header;
  header.epoch = next_.segment;
  header.bodyBytes = static_cast<uint32_t>(bytes);
  header.sequence = ++sequence_;
  header.durable = durableEnd_.Packed();
  header.incarnation = incarnation_;
  header.flags = flags;
  header.records = count;
  header.Write(out.data() + start, seal_);
  const Position at{next_.segment, static_cast<uint32_t>(next_.offset + kGroupHeaderBytes)};
  next_.offset += static_cast<uint32_t>(total);
  syncWanted_ = syncWanted_ || sync;
  return at;
}

void LogWriter::WriteLoop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    const auto ready = [this] { return stopping_ || !queue_.empty(); };
    if (options_.idleMarkMs > 0 && durableEnd_.Packed() > markedDurable_ && writtenSequence_ == durableSequence_) {
      if (!wake_.wait_for(lock, std::chrono::milliseconds(options_.idleMarkMs), ready)) {
        Queue(nullptr, 0, 0, kIdleMark, false);
      }
    } else {
      wake_.wait(lock, ready);
    }
    // The closing mark is written when everything before it is durable, so that it can say so.
    const bool last = stopping_ && queue_.empty() && writtenSequence_ == durableSequence_;
    if (last) Queue(nullptr, 0, 0, kCloseMark, true);
    else if (stopping_) syncWanted_ = true;
    std::vector<Chunk> chunks = std::move(queue_);
    queue_.clear();
    const bool sync = syncWanted_;
    syncWanted_ = false;
    const uint64_t sequence = sequence_;
    const Position end = next_;
    lock.unlock();
    WriteChunks(chunks, sync);
    lock.lock();
    uint64_t bytes = 0;
    for (const Chunk& chunk : chunks) bytes += chunk.bytes.size();
    stats_.groupBytes += bytes;
    PaceSpare(bytes);
    for (Chunk& chunk : chunks) {
      if (recycled_.size() < 2 && chunk.bytes.capacity() <= (4u << 20)) recycled_.push_back(std::move(chunk));
    }
    writtenEnd_ = end;
    writtenSequence_ = sequence;
    if (sync) {
      durableEnd_ = end;
      durableSequence_ = sequence;
    } else {
      markedDurable_ = durableEnd_.Packed();  // the group just written carries it
    }
    written_.notify_all();
    if (sync) onDurable_();
    if (last) return;
    if (queue_.empty() && file_->bytes < options_.segmentBytes && end.offset + kStepBytesMin > file_->bytes) {
      lock.unlock();
      EnsureZeroed(end.offset + kStepBytesMin);  // while nobody waits
      lock.lock();
    }
  }
}

void LogWriter::WriteChunks(std::vector<Chunk>& chunks, bool sync) {
  for (Chunk& chunk : chunks) {
    if (chunk.start.segment != openSegment_) OpenSegment(chunk.start.segment);
    EnsureZeroed(chunk.start.offset + chunk.bytes.size());
    if (!WriteFully(file_->fd, chunk.bytes.data(), chunk.bytes.size(), chunk.start.offset)) Die("pwrite " + options_.dir, errno);
    dirty_ = true;
  }
  if (sync) Sync();
}

void LogWriter::Sync() {
  if (fdatasync(file_->fd) != 0) Die("fdatasync " + options_.dir, errno);
  dirty_ = false;
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.syncs++;
}

/** A group of the next segment must not become durable before all of this one: sync, then move on. */
void LogWriter::OpenSegment(uint32_t segment) {
  if (file_ != nullptr && dirty_) Sync();
  const std::string path = options_.dir + "/" + SegmentName(segment);
  std::shared_ptr<SegmentFile> file;
  Spare spare{"", 0};
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto known = files_.find(segment);
    if (known != files_.end()) file = known->second;
    else if (!spares_.empty()) {
      spare = spares_.front();
      spares_.pop_front();
    }
  }
  if (file == nullptr) {
    if (!spare.name.empty() && rename((options_.dir + "/" + spare.name).c_str(), path.c_str()) != 0) Die("rename to " + path, errno);
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) Die("open " + path, errno);
    file = std::make_shared<SegmentFile>(fd, spare.bytes);
    if (const Failure failure = SyncFolder(options_.dir); !failure.ok()) Die(failure.text, errno);
    const std::lock_guard<std::mutex> lock(mutex_);
    files_[segment] = file;
  }
  openSegment_ = segment;
  file_ = std::move(file);
}

/**
 * Bytes are written as zeros before they are written as records: a growing file costs a journal commit at nearly every
 * sync. Steps begin small and grow with the rate: a fresh store starts at once, a trickle writes little for nothing.
 */
void LogWriter::EnsureZeroed(uint64_t end) {
  if (end <= file_->bytes) return;
  const auto now = std::chrono::steady_clock::now();
  const bool isBusy = now - steppedAt_ < std::chrono::seconds(1);
  stepBytes_ = isBusy ? std::min(stepBytes_ * 2, kStepBytesMax) : kStepBytesMin;
  steppedAt_ = now;
  Extend(std::max(end, std::min(AlignUp(end + stepBytes_, kStepBytesMin), options_.segmentBytes)));
}

void LogWriter::Extend(uint64_t to) {
  if (!WriteZeros(file_->fd, file_->bytes, to)) Die("pwrite zeros " + options_.dir, errno);
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.zeroBytes += to - file_->bytes;
  file_->bytes = to;
  dirty_ = true;
}

/** Under mutex_. From a quarter of a segment on two bytes of the next file are made for each that is written. */
void LogWriter::PaceSpare(uint64_t written) {
  if (!spares_.empty() || next_.offset <= options_.segmentBytes / 4) return;
  spareCredit_ += 2 * written;
  if (spareCredit_ >= SpareStep()) wakePreparer_.notify_one();
}

/** Under mutex_: bytes of the next step of the spare that is being made. */
uint64_t LogWriter::SpareStep() const { return std::min(kSpareStepBytes, options_.segmentBytes - madeBytes_); }

void LogWriter::PrepareLoop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wakePreparer_.wait(lock, [this] {
      return preparerStops_ || !toFree_.empty() || (spares_.empty() && spareCredit_ >= SpareStep());
    });
    if (preparerStops_) break;
    if (!toFree_.empty()) {
      const uint32_t segment = toFree_.front();
      toFree_.pop_front();
      FreeSegment(lock, segment);
    } else if (!ExtendSpare(lock)) {
      wakePreparer_.wait_for(lock, std::chrono::seconds(5), [this] { return preparerStops_; });
    }
  }
  if (!making_.empty()) unlink((options_.dir + "/" + making_).c_str());
}

/** Best effort: without a spare the writer makes its own file. Small synced steps leave the disk to the writer. */
bool LogWriter::ExtendSpare(std::unique_lock<std::mutex>& lock) {
  if (making_.empty()) making_ = SpareName(++spareNumber_);
  const uint64_t from = madeBytes_;
  const uint64_t count = SpareStep();
  spareCredit_ -= count;
  const std::string path = options_.dir + "/" + making_;
  lock.unlock();
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | (from == 0 ? O_TRUNC : 0) | O_CLOEXEC, 0644);
  const bool isWritten = fd >= 0 && WriteZeros(fd, from, from + count) && fdatasync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (!isWritten) {
    // No room is no reason to die: the writer finds out when it needs some. A broken disk is one.
    if (error != ENOSPC && error != EDQUOT && error != EMFILE && error != ENFILE) Die("spare " + path, error);
    unlink(path.c_str());
  }
  lock.lock();
  madeBytes_ = isWritten ? from + count : 0;
  if (isWritten) stats_.zeroBytes += count;
  if (isWritten && madeBytes_ < options_.segmentBytes) return true;
  if (isWritten) spares_.push_back({making_, madeBytes_});
  making_.clear();
  madeBytes_ = 0;
  spareCredit_ = 0;
  return isWritten;
}

/** The folder is synced after each one, so that a crash never leaves a hole in the row of segments. */
void LogWriter::FreeSegment(std::unique_lock<std::mutex>& lock, uint32_t segment) {
  const auto found = files_.find(segment);
  if (found == files_.end()) return;
  const uint64_t bytes = found->second->bytes;
  files_.erase(found);
  const bool recycle = spares_.size() < 2 && bytes == options_.segmentBytes;
  const std::string name = SpareName(++spareNumber_);
  lock.unlock();
  const std::string path = options_.dir + "/" + SegmentName(segment);
  const std::string to = options_.dir + "/" + name;
  const bool renamed = recycle && rename(path.c_str(), to.c_str()) == 0;
  if (!renamed) unlink(path.c_str());
  if (const Failure failure = SyncFolder(options_.dir); !failure.ok()) Die(failure.text, errno);
  lock.lock();
  if (renamed) spares_.push_back({name, bytes});
}

void LogWriter::Free(uint32_t segment) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    toFree_.push_back(segment);
  }
  wakePreparer_.notify_one();
}

Failure LogWriter::Read(Position position, uint8_t* to, uint64_t bytes) {
  std::shared_ptr<SegmentFile> file;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    const Position end{position.segment, static_cast<uint32_t>(position.offset + bytes)};
    written_.wait(lock, [&] { return !started_ || writtenEnd_.Packed() >= end.Packed(); });
    const auto found = files_.find(position.segment);
    if (found == files_.end()) return Failure::Of(Code::corruption, "raft log segment is missing: " + SegmentName(position.segment));
    file = found->second;
  }
  return ReadFully(file->fd, to, bytes, position.offset);
}

uint64_t LogWriter::DurableSequence() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return durableSequence_;
}

uint32_t LogWriter::ActiveSegment() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return next_.segment;
}

bool LogWriter::IsExhausted() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return sequence_ >= kSequenceMax || next_.segment >= kSegmentMax;
}

WriterStats LogWriter::Stats() {
  const std::lock_guard<std::mutex> lock(mutex_);
  WriterStats stats = stats_;
  stats.spareBytes = madeBytes_;
  for (const Spare& spare : spares_) stats.spareBytes += spare.bytes;
  stats.diskBytes = stats.spareBytes;
  for (const auto& [segment, file] : files_) stats.diskBytes += file->bytes;
  for (const Chunk& chunk : queue_) stats.memoryBytes += chunk.bytes.capacity();
  for (const Chunk& chunk : recycled_) stats.memoryBytes += chunk.bytes.capacity();
  stats.files = files_.size() + spares_.size() + toFree_.size();
  return stats;
}

void LogWriter::Stop() {
  if (!started_) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (writer_.joinable()) writer_.join();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    preparerStops_ = true;
  }
  wakePreparer_.notify_all();
  if (preparer_.joinable()) preparer_.join();
  started_ = false;
}

}  // namespace karst
