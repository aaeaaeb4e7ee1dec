// Failures cross the JS line as Error objects with a `code` of common/errors.ts StorageError. Nothing throws in C++.
#pragma once
#include <node_api.h>
#include <rocksdb/status.h>

#include <string>
#include <vector>

namespace karst {

/** Which StorageError code. `ok` carries no text. */
enum class Code { ok, io, corruption, noSpace, closed, invalid };

const char* CodeName(Code code);

struct Failure {
  Code code = Code::ok;
  std::string text;
  /** Corruption of the raft log only: the regions whose records are damaged; `everyRegion` when that is unknown. */
  std::vector<uint64_t> regions;
  bool everyRegion = false;
  uint64_t segment = 0;
  uint64_t offset = 0;

  bool ok() const { return code == Code::ok; }
  static Failure Of(Code code, std::string text) {
    Failure failure;
    failure.code = code;
    failure.text = std::move(text);
    return failure;
  }
  /** By RocksDB's code and subcode, never by its text. */
  static Failure Of(const rocksdb::Status& status);
  /** A system call that failed: ENOSPC and EDQUOT are noSpace, everything else io. */
  static Failure OfErrno(int error, const std::string& what);
};

/** Makes a JS Error pending and returns nullptr, the value a failed binding answers. */
napi_value Throw(napi_env env, const Failure& failure);
napi_value MakeError(napi_env env, const Failure& failure);

}  // namespace karst
