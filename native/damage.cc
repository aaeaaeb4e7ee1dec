#include "damage.h"

#include <rocksdb/sst_file_reader.h>

#include <algorithm>

namespace karst {

void DamageListener::OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) {
  if (reason == rocksdb::BackgroundErrorReason::kCompaction && error->IsCorruption()) {
    *error = rocksdb::Status::OK();
  } else if (!error->ok() && error->severity() == rocksdb::Status::kNoError) {
    // In the lenient mode that a damaged folder is opened in, RocksDB would go on behind a disk that fails to write.
    *error = rocksdb::Status(*error, rocksdb::Status::kFatalError);
  }
}

void DamageListener::OnCompactionCompleted(rocksdb::DB* db, const rocksdb::CompactionJobInfo& job) {
  if (!job.status.IsCorruption()) return;
  std::vector<rocksdb::LiveFileMetaData> live;
  db->GetLiveFilesMetaData(&live);
  for (const auto& file : live) {
    const std::string path = file.db_path + file.name;
    if (std::find(job.input_files.begin(), job.input_files.end(), path) != job.input_files.end()) LookThrough(db, file, true);
  }
}

void DamageListener::LookThroughAll(rocksdb::DB* db) {
  std::vector<rocksdb::LiveFileMetaData> live;
  db->GetLiveFilesMetaData(&live);
  for (const auto& file : live) LookThrough(db, file, false);
}

void DamageListener::LookThrough(rocksdb::DB* db, const rocksdb::LiveFileMetaData& file, bool everyBlock) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (known_.count(file.name) > 0) return;
  }
  rocksdb::SstFileReader reader(db->GetOptions());
  rocksdb::Status status = reader.Open(file.db_path + file.name);
  if (status.ok() && everyBlock) status = reader.VerifyChecksum();
  if (status.ok()) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!known_.insert(file.name).second) return;
  found_.push_back({file.column_family_name, file.name, file.smallestkey, file.largestkey, status.ToString()});
}

std::vector<Damage> DamageListener::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::move(found_);
}

}  // namespace karst
