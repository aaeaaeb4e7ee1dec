// Bytes of the raft log. LAYOUT.md says the same in words; the TypeScript side builds records without crc and epoch.
#pragma once
#include <cstdint>

#include "bytes.h"
#include "crc32c.h"

namespace karst {

constexpr uint32_t kGroupMagic = 0x3147524b;  // "KRG1"
constexpr uint64_t kGroupHeaderBytes = 56;
constexpr uint64_t kRecordHeaderBytes = 40;
constexpr uint64_t kAlign = 8;

enum RecordKind : uint8_t { kEntry = 1, kHardState = 2, kState = 3, kCompact = 4, kReset = 5, kRemove = 6 };
enum GroupFlag : uint32_t { kOpenMark = 1, kIdleMark = 2, kCloseMark = 4, kRewrite = 8 };

/** A place in the log. Segments are numbered from 1 and never reused; a segment's number is its epoch. */
struct Position {
  uint32_t segment = 0;
  uint32_t offset = 0;
  uint64_t Packed() const { return static_cast<uint64_t>(segment) << 32 | offset; }
};

/**
 * u32 magic, u32 crc of the bytes from 8 to 56, u32 epoch, u32 bodyBytes, u64 sequence, u64 durable position known
 * when it was written, u32 incarnation, u32 flags, u32 records, u32 0, u64 0. Then the records.
 */
struct GroupHeader {
  uint32_t epoch = 0;
  uint32_t bodyBytes = 0;
  uint64_t sequence = 0;
  uint64_t durable = 0;
  uint32_t incarnation = 0;
  uint32_t flags = 0;
  uint32_t records = 0;

  void Write(uint8_t* at) const {
    Store<uint32_t>(at, kGroupMagic);
    Store<uint32_t>(at + 8, epoch);
    Store<uint32_t>(at + 12, bodyBytes);
    Store<uint64_t>(at + 16, sequence);
    Store<uint64_t>(at + 24, durable);
    Store<uint32_t>(at + 32, incarnation);
    Store<uint32_t>(at + 36, flags);
    Store<uint32_t>(at + 40, records);
    Store<uint32_t>(at + 44, 0);
    Store<uint64_t>(at + 48, 0);
    Store<uint32_t>(at + 4, Crc32c(at + 8, kGroupHeaderBytes - 8));
  }

  /** `at` has kGroupHeaderBytes. @returns false when it is not an intact header of this segment */
  static bool Read(const uint8_t* at, uint32_t epoch, GroupHeader* header) {
    if (Load<uint32_t>(at) != kGroupMagic || Load<uint32_t>(at + 8) != epoch) return false;
    if (Load<uint32_t>(at + 4) != Crc32c(at + 8, kGroupHeaderBytes - 8)) return false;
    header->epoch = epoch;
    header->bodyBytes = Load<uint32_t>(at + 12);
    header->sequence = Load<uint64_t>(at + 16);
    header->durable = Load<uint64_t>(at + 24);
    header->incarnation = Load<uint32_t>(at + 32);
    header->flags = Load<uint32_t>(at + 36);
    header->records = Load<uint32_t>(at + 40);
    return true;
  }
};

/**
 * u32 crc of the bytes from 4 to the payload's end, u32 payloadBytes, u32 epoch, u8 kind, u8 type, u16 0,
 * u64 region, u64 term, u64 index, payload, zeros up to 8. `type`: the entry's type, or the kind of a state record.
 */
struct Record {
  const uint8_t* at = nullptr;

  uint32_t crc() const { return Load<uint32_t>(at); }
  uint32_t payloadBytes() const { return Load<uint32_t>(at + 4); }
  uint32_t epoch() const { return Load<uint32_t>(at + 8); }
  uint8_t kind() const { return at[12]; }
  uint8_t type() const { return at[13]; }
  uint64_t region() const { return Load<uint64_t>(at + 16); }
  uint64_t term() const { return Load<uint64_t>(at + 24); }
  uint64_t index() const { return Load<uint64_t>(at + 32); }
  const uint8_t* payload() const { return at + kRecordHeaderBytes; }
  /** On disk, padding included. */
  uint64_t bytes() const { return AlignUp(kRecordHeaderBytes + payloadBytes(), kAlign); }
  uint32_t ComputeCrc() const { return Crc32c(at + 4, kRecordHeaderBytes - 4 + payloadBytes()); }

  static void Seal(uint8_t* at, uint32_t epoch) {
    Store<uint32_t>(at + 8, epoch);
    Store<uint32_t>(at, Record{at}.ComputeCrc());
  }
  /** Does a whole record of a known kind lie within `room` bytes? Says nothing about its crc. */
  bool Fits(uint64_t room) const {
    return room >= kRecordHeaderBytes && bytes() <= room && kind() >= kEntry && kind() <= kRemove;
  }
  bool Intact(uint32_t segment) const { return epoch() == segment && crc() == ComputeCrc(); }
};

}  // namespace karst
