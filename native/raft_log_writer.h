// The files of the log and the two threads that touch them: the writer (one pwrite and one fdatasync for everything
// queued) and the preparer (spare segments full of zeros, freed segments).
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "errors.h"
#include "raft_log_secret.h"

namespace karst {

struct LogOptions {
  std::string dir;
  uint64_t segmentBytes = 64u << 20;
  /** After this long without writes the durable end is marked in the log; 0 = never. */
  uint32_t idleMarkMs = 50;
};

class SegmentFile {
 public:
  SegmentFile(int fd, uint64_t bytes) : fd(fd), bytes(bytes) {}
  ~SegmentFile();
  SegmentFile(const SegmentFile&) = delete;
  const int fd;
  uint64_t bytes;  // file size, all of it written at least once
};

std::string SegmentName(uint32_t segment);
std::string SpareName(uint64_t number);
/** All of it, or false and errno. */
bool WriteFully(int fd, const uint8_t* from, uint64_t bytes, uint64_t offset);
/** Reads exactly; a short file is an error. */
Failure ReadFully(int fd, uint8_t* to, uint64_t bytes, uint64_t offset);
Failure SyncFolder(const std::string& dir);

/** What a writer holds and has done in this life, in bytes. */
struct WriterStats {
  uint64_t diskBytes = 0;     // all segments and spares
  uint64_t spareBytes = 0;    // of these, spares
  uint64_t groupBytes = 0;    // written: groups with their headers, marks included
  uint64_t zeroBytes = 0;     // written ahead, and into spares
  uint64_t syncs = 0;
  uint64_t memoryBytes = 0;   // queued, and buffers kept for the next groups
  uint64_t files = 0;
};

class LogWriter {
 public:
  /** @param onDurable called on the writer thread after each advance */
  LogWriter(LogOptions options, std::function<void()> onDurable) : options_(std::move(options)), onDurable_(std::move(onDurable)) {}
  ~LogWriter() { Stop(); }

  // Before Start, from recovery.
  void Adopt(uint32_t segment, std::shared_ptr<SegmentFile> file);
  /** Writes what was read once more, and syncs it. */
  Failure Rewrite(Position from, const std::vector<uint8_t>& bytes);
  /** Lets the kernel drop what it has read of a segment. */
  void ForgetCached(uint32_t segment);
  /** @param number of spare-N.tmp */
  void AdoptSpare(uint64_t number, uint64_t bytes);
  /** @param end where the next group goes; everything before it is durable */
  void Start(Position end, uint64_t sequence, uint32_t incarnation, const LogSecret& secret);

  // JS thread.
  /** Seals `records` (crc and epoch), puts a group header before them, gives it a place and queues it. @returns where
   *  the first record is and the group's sequence. Copies. */
  Position Append(const uint8_t* records, uint64_t bytes, uint32_t count, uint32_t flags, bool sync, uint64_t* sequence);
  /** A record that may still be on its way to the file. */
  Failure Read(Position position, uint8_t* to, uint64_t bytes);
  /** Oldest first, and only segments nothing needs any more. */
  void Free(uint32_t segment);
  uint64_t DurableSequence();
  uint32_t ActiveSegment();
  /** Are there numbers for another group? */
  bool IsExhausted();
  WriterStats Stats();
  /** Writes and syncs what is queued, with a closing mark; joins both threads. Idempotent. */
  void Stop();

 private:
  struct Chunk {
    Position start;
    std::vector<uint8_t> bytes;
  };
  Position Queue(const uint8_t* records, uint64_t bytes, uint32_t count, uint32_t flags, bool sync);
  void WriteLoop();
  void WriteChunks(std::vector<Chunk>& chunks, bool sync);
  void OpenSegment(uint32_t segment);
  void EnsureZeroed(uint64_t end);
  void Extend(uint64_t to);
  void Sync();
  void PrepareLoop();
  bool ExtendSpare(std::unique_lock<std::mutex>& lock);
  void PaceSpare(uint64_t written);
  uint64_t SpareStep() const;
  void FreeSegment(std::unique_lock<std::mutex>& lock, uint32_t segment);

  const LogOptions options_;
  const std::function<void()> onDurable_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable written_;
  std::condition_variable wakePreparer_;

  // Under mutex_.
  std::map<uint32_t, std::shared_ptr<SegmentFile>> files_;
  std::vector<Chunk> queue_;
  std::vector<Chunk> recycled_;
  Position next_;
  uint64_t sequence_ = 0;
  uint32_t incarnation_ = 0;
  LogSecret secret_;
  Seal seal_;  // of next_'s segment
  bool syncWanted_ = false;
  Position writtenEnd_;
  Position durableEnd_;
  uint64_t writtenSequence_ = 0;
  uint64_t durableSequence_ = 0;
  uint64_t markedDurable_ = 0;
  bool started_ = false;
  bool stopping_ = false;
  struct Spare {
    std::string name;
    uint64_t bytes;
  };
  std::deque<Spare> spares_;
  std::deque<uint32_t> toFree_;
  /** The spare that is being made, and how much more of it may be written: it grows with the log, so that a trickle
   *  does not pay for a whole one at once. */
  std::string making_;
  uint64_t madeBytes_ = 0;
  uint64_t spareCredit_ = 0;
  bool preparerStops_ = false;
  uint64_t spareNumber_ = 0;
  WriterStats stats_;

  // Writer thread only.
  uint32_t openSegment_ = 0;
  std::shared_ptr<SegmentFile> file_;
  bool dirty_ = false;
  uint64_t stepBytes_ = 0;
  std::chrono::steady_clock::time_point steppedAt_;

  std::thread writer_;
  std::thread preparer_;
};

}  // namespace karst
