// Files of one engine that cannot be read any more. A damaged file costs the replicas that have rows in it, not the engine.
#pragma once
#include <rocksdb/db.h>
#include <rocksdb/listener.h>

#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace karst {

struct Damage {
  std::string family;
  std::string file;
  /** First and last key that the file may hold. */
  std::string smallest;
  std::string largest;
  std::string reason;
};

/**
 * Told by RocksDB on its own threads. A compaction that meets a damaged block would make the whole DB read-only: it is
 * given up instead (RocksDB tries it again every second) and the files that it read are looked through.
 */
class DamageListener : public rocksdb::EventListener {
 public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override;
  void OnCompactionCompleted(rocksdb::DB* db, const rocksdb::CompactionJobInfo& job) override;
  void OnMemTableSealed(const rocksdb::MemTableInfo&) override { rangeTombstones.store(0, std::memory_order_relaxed); }

  /** After an opening that RocksDB refused in its strict mode: which files cannot even be opened? */
  void LookThroughAll(rocksdb::DB* db);
  /** What was found since the last call. Any thread. */
  std::vector<Damage> Take();

  /** Range tombstones in the memtables that are written to. */
  std::atomic<uint32_t> rangeTombstones{0};

 private:
  void LookThrough(rocksdb::DB* db, const rocksdb::LiveFileMetaData& file, bool everyBlock);
  std::mutex mutex_;
  std::set<std::string> known_;
  std::vector<Damage> found_;
};

}  // namespace karst
