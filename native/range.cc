// About ranges: how big, where is the middle; and files: checkpoint, SST export and ingest.
#include <rocksdb/convenience.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/utilities/checkpoint.h>

#include <algorithm>

#include "args.h"
#include "modules.h"
#include "reader.h"

namespace karst {
namespace {

/** A range of up to this much is walked exactly when its middle is asked for; a bigger one is bisected. */
constexpr uint64_t kExactBytesMax = 2u << 20;
constexpr uint64_t kExactRowsMax = 8192;
constexpr int kBisectSteps = 48;

uint64_t ApproximateBytes(const Reader& reader, const std::string& start, const std::string& end) {
  rocksdb::SizeApproximationOptions options;
  options.include_memtables = true;
  options.include_files = true;
  const rocksdb::Range range(start, end);
  uint64_t bytes = 0;
  if (end <= start) return 0;
  reader.engine->db()->GetApproximateSizes(options, reader.family, &range, 1, &bytes);
  return bytes;
}

struct RangeEnds {
  std::string first;  // first key at or after start
  std::string last;   // last key before end
  bool empty = true;
};

/** @param status of the iterator: one that failed looks like the end of the range */
RangeEnds EndsOf(Reader& reader, const std::string& start, const std::string& end, rocksdb::Status* status) {
  RangeEnds ends;
  const rocksdb::Slice lower(start);
  const rocksdb::Slice upper(end);
  rocksdb::ReadOptions options = reader.options;
  options.total_order_seek = true;
  options.iterate_lower_bound = &lower;
  if (!end.empty()) options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> it(reader.engine->db()->NewIterator(options, reader.family));
  it->SeekToFirst();
  *status = it->status();
  if (!it->Valid()) return ends;
  ends.first = it->key().ToString();
  it->SeekToLast();
  *status = it->status();
  if (!it->Valid()) return ends;
  ends.last = it->key().ToString();
  ends.empty = false;
  return ends;
}

/** Walks the range. @returns false when it is too big for that; `middle` stays empty when there are under two keys. */
bool ExactMiddle(Reader& reader, const RangeEnds& ends, std::string* middle, rocksdb::Status* status) {
  rocksdb::ReadOptions options = reader.options;
  options.total_order_seek = true;
  const std::unique_ptr<rocksdb::Iterator> it(reader.engine->db()->NewIterator(options, reader.family));
  std::vector<std::pair<std::string, uint64_t>> rows;
  uint64_t bytes = 0;
  for (it->Seek(ends.first); it->Valid() && it->key().compare(ends.last) <= 0; it->Next()) {
    bytes += it->key().size() + it->value().size();
    rows.emplace_back(it->key().ToString(), bytes);
    if (bytes > kExactBytesMax || rows.size() > kExactRowsMax) return false;
  }
  *status = it->status();
  if (!status->ok()) return true;
  for (size_t i = 1; i < rows.size(); i++) {
    if (rows[i - 1].second * 2 < bytes && i + 1 < rows.size()) continue;
    *middle = rows[i].first;
    break;
  }
  return true;
}

/** The point half way between two keys, read as fractions behind their common prefix. */
std::string Halfway(const std::string& low, const std::string& high) {
  size_t common = 0;
  while (common < low.size() && common < high.size() && low[common] == high[common]) common++;
  const auto digit = [](const std::string& key, size_t at) { return at < key.size() ? static_cast<uint8_t>(key[at]) : 0u; };
  unsigned __int128 left = 0;
  unsigned __int128 right = 0;
  constexpr size_t kDigits = 12;
  for (size_t i = 0; i < kDigits; i++) {
    left = (left << 8) | digit(low, common + i);
    right = (right << 8) | digit(high, common + i);
  }
  const unsigned __int128 middle = left + (right > left ? (right - left) / 2 : 0);
  std::string key = low.substr(0, common);
  for (size_t i = 0; i < kDigits; i++) key.push_back(static_cast<char>(static_cast<uint8_t>(middle >> (8 * (kDigits - 1 - i)))));
  return key;
}

/** Bisects the key space; each probe is moved to a real key and weighed by RocksDB's estimate. */
std::string BisectedMiddle(Reader& reader, const RangeEnds& ends, rocksdb::Status* status) {
  rocksdb::ReadOptions options = reader.options;
  options.total_order_seek = true;
  const std::unique_ptr<rocksdb::Iterator> it(reader.engine->db()->NewIterator(options, reader.family));
  const uint64_t total = ApproximateBytes(reader, ends.first, ends.last);
  std::string low = ends.first;
  std::string high = ends.last;
  std::string best = ends.last;
  uint64_t bestDistance = UINT64_MAX;
  for (int step = 0; step < kBisectSteps && low < high; step++) {
    const std::string probe = Halfway(low, high);
    it->Seek(probe);
    *status = it->status();
    if (!it->Valid()) break;
    const std::string key = it->key().ToString();
    const uint64_t left = ApproximateBytes(reader, ends.first, key);
    const uint64_t distance = left * 2 > total ? left * 2 - total : total - left * 2;
    if (key > ends.first && key <= ends.last && distance < bestDistance) {
      best = key;
      bestDistance = distance;
    }
    if (distance * 16 <= total) break;
    if (left * 2 < total) low = key > low ? key : probe;
    else high = probe;
    if (low == high || Halfway(low, high) == low) break;
  }
  return best;
}

Failure RangeOf(napi_env env, const Args<4>& args, Reader* reader, std::string* start, std::string* end) {
  if (Failure failure = ReaderOf(env, args.Int(0), 0, args.Int(1), reader); !failure.ok()) return failure;
  const Span low = args.Bytes(2);
  const Span high = args.Bytes(3);
  start->assign(reinterpret_cast<const char*>(low.data), low.size);
  end->assign(reinterpret_cast<const char*>(high.data), high.size);
  return {};
}

/** approximateBytes(handle, cf, start, end): rough. May read index blocks. */
napi_value Approximate(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  Reader reader;
  std::string start;
  std::string end;
  if (Failure failure = RangeOf(env, args, &reader, &start, &end); !failure.ok()) return Throw(env, failure);
  const OnLoop timer(reader.session);
  // Behind every key that anybody writes: to find the last one would read the disk.
  if (end.empty()) end.assign(64, '\xff');
  return Number(env, static_cast<double>(ApproximateBytes(reader, start, end)));
}

/** middleKey(handle, cf, start, end): Uint8Array or undefined. Reads up to 2 MiB of rows; disk. About a millisecond. */
napi_value Middle(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  Reader reader;
  std::string start;
  std::string end;
  if (Failure failure = RangeOf(env, args, &reader, &start, &end); !failure.ok()) return Throw(env, failure);
  const OnLoop timer(reader.session);
  if (!end.empty() && end <= start) return nullptr;
  rocksdb::Status status;
  const RangeEnds ends = EndsOf(reader, start, end, &status);
  if (!status.ok()) return Throw(env, Failure::Of(status));
  if (ends.empty) return nullptr;
  std::string middle;
  if (!ExactMiddle(reader, ends, &middle, &status)) middle = BisectedMiddle(reader, ends, &status);
  if (!status.ok()) return Throw(env, Failure::Of(status));
  return middle.empty() ? nullptr : Bytes(env, middle.data(), middle.size());
}

/** checkpoint(handle, folder): hard-linked copy of what is flushed and not; the folder must not exist. Disk, slow. */
napi_value MakeCheckpoint(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  Reader reader;
  if (Failure failure = ReaderOf(env, args.Int(0), 0, 0, &reader); !failure.ok()) return Throw(env, failure);
  rocksdb::Checkpoint* raw = nullptr;
  rocksdb::Status status = rocksdb::Checkpoint::Create(reader.engine->db(), &raw);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(raw);
  if (status.ok()) status = checkpoint->CreateCheckpoint(args.Text(1), 0);
  if (!status.ok()) return Throw(env, Failure::Of(status));
  return nullptr;
}

/** sstExport(handle, snapshot, cf, start, end, file): rows written; no file when there are none. Disk, slow. */
napi_value SstExport(napi_env env, napi_callback_info info) {
  const Args<6> args(env, info);
  Reader reader;
  if (Failure failure = ReaderOf(env, args.Int(0), args.Int(1), args.Int(2), &reader); !failure.ok()) return Throw(env, failure);
  const Span low = args.Bytes(3);
  const Span high = args.Bytes(4);
  const rocksdb::Slice upper(reinterpret_cast<const char*>(high.data), high.size);
  reader.options.total_order_seek = true;
  reader.options.fill_cache = false;
  if (high.size > 0) reader.options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> it(reader.engine->db()->NewIterator(reader.options, reader.family));
  it->Seek(rocksdb::Slice(reinterpret_cast<const char*>(low.data), low.size));
  if (!it->Valid()) return it->status().ok() ? Number(env, 0) : Throw(env, Failure::Of(it->status()));
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), reader.engine->db()->GetOptions(reader.family), reader.family);
  rocksdb::Status status = writer.Open(args.Text(5));
  double rows = 0;
  for (; status.ok() && it->Valid(); it->Next(), rows++) status = writer.Put(it->key(), it->value());
  if (status.ok()) status = it->status();
  if (status.ok()) status = writer.Finish();
  if (!status.ok()) return Throw(env, Failure::Of(status));
  return Number(env, rows);
}

/** dropFiles(handle, cf, start, end): files that lie in [start, end] as a whole go, damaged ones too. Writes the manifest. */
napi_value DropFiles(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  Reader reader;
  std::string start;
  std::string end;
  if (Failure failure = RangeOf(env, args, &reader, &start, &end); !failure.ok()) return Throw(env, failure);
  const rocksdb::Slice low(start);
  const rocksdb::Slice high(end);
  const rocksdb::Status status = rocksdb::DeleteFilesInRange(reader.engine->db(), reader.family, &low, &high);
  if (!status.ok()) return Throw(env, Failure::Of(status));
  return nullptr;
}

/** sstIngest(handle, cf, file): moves the file in; durable at once, newer than everything there. Disk. */
napi_value SstIngest(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Reader reader;
  if (Failure failure = ReaderOf(env, args.Int(0), 0, args.Int(1), &reader); !failure.ok()) return Throw(env, failure);
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  const rocksdb::Status status = reader.engine->db()->IngestExternalFile(reader.family, {args.Text(2)}, options);
  if (!status.ok()) return Throw(env, Failure::Of(status));
  return nullptr;
}

}  // namespace

void InitRange(napi_env env, napi_value exports) {
  Export<Approximate>(env, exports, "approximateBytes");
  Export<Middle>(env, exports, "middleKey");
  Export<MakeCheckpoint>(env, exports, "checkpoint");
  Export<SstExport>(env, exports, "sstExport");
  Export<DropFiles>(env, exports, "dropFiles");
  Export<SstIngest>(env, exports, "sstIngest");
}

}  // namespace karst
