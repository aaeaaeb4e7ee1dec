// Bytes of the raft log. LAYOUT.md says the same in words; the TypeScript side builds records without crc and stamp.
#pragma once
#include <cstdint>

#include "bytes.h"
#include "crc32c.h"
#include "siphash.h"

namespace karst {

constexpr uint32_t kGroupMagic = 0x3247524b;      // "KRG2"
constexpr uint32_t kGroupMagicPlain = 0x3147524b;  // "KRG1": format 1, without a secret
constexpr uint64_t kGroupHeaderBytes = 56;
constexpr uint64_t kRecordHeaderBytes = 40;
constexpr uint64_t kAlign = 8;

/** What JS can count. Numbers above are in no record that was ever written. */
constexpr uint64_t kNumberMax = (1ull << 53) - 1;
/** The log refuses to append beyond these; marks have room behind them. */
constexpr uint64_t kSequenceMax = kNumberMax - (1u << 20);
constexpr uint32_t kSegmentMax = 0xfffffff0;
constexpr uint32_t kIncarnationMax = 0xfffffff0;
constexpr uint64_t kSegmentBytesMax = 1u << 30;
/** One group: more does not fit into a segment of any size. */
constexpr uint64_t kBodyBytesMax = kSegmentBytesMax - kGroupHeaderBytes;

enum RecordKind : uint8_t { kEntry = 1, kHardState = 2, kState = 3, kCompact = 4, kReset = 5, kRemove = 6 };
enum GroupFlag : uint32_t { kOpenMark = 1, kIdleMark = 2, kCloseMark = 4, kRewrite = 8 };

/** A place in the log. Segments are numbered from 1 and never reused; a segment's number is its epoch. */
struct Position {
  uint32_t segment = 0;
  uint32_t offset = 0;
  uint64_t Packed() const { return static_cast<uint64_t>(segment) << 32 | offset; }
};

/** How the groups and records of one segment are told from everybody else's bytes. */
struct Seal {
  uint32_t segment = 0;
  uint32_t magic = kGroupMagicPlain;
  uint32_t stamp = 0;
  uint32_t crcSeed = 0;
  bool keyed = false;
  SipKey key;

  static Seal Plain(uint32_t segment) {
    Seal seal;
    seal.segment = seal.stamp = segment;
    return seal;
  }
  static Seal Keyed(const SipKey& key, uint32_t segment) {
    uint8_t number[8];
    Store<uint64_t>(number, segment);
    const uint64_t mixed = SipHash(key, number, sizeof number);
    Seal seal;
    seal.segment = segment;
    seal.magic = kGroupMagic;
    seal.stamp = static_cast<uint32_t>(mixed);
    seal.crcSeed = static_cast<uint32_t>(mixed >> 32);
    seal.keyed = true;
    seal.key = key;
    return seal;
  }
};

/**
 * u32 magic, u32 crc of the bytes from 8 to 56, u32 epoch, u32 bodyBytes, u64 sequence, u64 durable position known
 * when it was written, u32 incarnation, u32 flags, u32 records, u32 0, u64 tag of the bytes from 8 to 48. Then the records.
 */
struct GroupHeader {
  uint32_t epoch = 0;
  uint32_t bodyBytes = 0;
  uint64_t sequence = 0;
  uint64_t durable = 0;
  uint32_t incarnation = 0;
  uint32_t flags = 0;
  uint32_t records = 0;

  void Write(uint8_t* at, const Seal& seal) const {
    Store<uint32_t>(at, seal.magic);
    Store<uint32_t>(at + 8, epoch);
    Store<uint32_t>(at + 12, bodyBytes);
    Store<uint64_t>(at + 16, sequence);
    Store<uint64_t>(at + 24, durable);
    Store<uint32_t>(at + 32, incarnation);
    Store<uint32_t>(at + 36, flags);
    Store<uint32_t>(at + 40, records);
    Store<uint32_t>(at + 44, 0);
    Store<uint64_t>(at + 48, Tag(at, seal));
    Store<uint32_t>(at + 4, Crc32c(at + 8, kGroupHeaderBytes - 8, seal.crcSeed));
  }

  /** `at` has kGroupHeaderBytes. @returns false when it is not an intact header of this segment */
  static bool Read(const uint8_t* at, const Seal& seal, GroupHeader* header) {
    if (Load<uint32_t>(at) != seal.magic || Load<uint32_t>(at + 8) != seal.segment) return false;
    if (Load<uint32_t>(at + 4) != Crc32c(at + 8, kGroupHeaderBytes - 8, seal.crcSeed)) return false;
    if (Load<uint64_t>(at + 48) != Tag(at, seal)) return false;
    header->epoch = seal.segment;
    header->bodyBytes = Load<uint32_t>(at + 12);
    header->sequence = Load<uint64_t>(at + 16);
    header->durable = Load<uint64_t>(at + 24);
    header->incarnation = Load<uint32_t>(at + 32);
    header->flags = Load<uint32_t>(at + 36);
    header->records = Load<uint32_t>(at + 40);
    return true;
  }

  static uint64_t Tag(const uint8_t* at, const Seal& seal) { return seal.keyed ? SipHash(seal.key, at + 8, 40) : 0; }
};

/**
 * u32 crc of the bytes from 4 to the payload's end, u32 payloadBytes, u32 stamp of the segment, u8 kind, u8 type, u16 0,
 * u64 region, u64 term, u64 index, payload, zeros up to 8. `type`: the entry's type, or the kind of a state record.
 */
struct Record {
  const uint8_t* at = nullptr;

  uint32_t crc() const { return Load<uint32_t>(at); }
  uint32_t payloadBytes() const { return Load<uint32_t>(at + 4); }
  uint32_t stamp() const { return Load<uint32_t>(at + 8); }
  uint8_t kind() const { return at[12]; }
  uint8_t type() const { return at[13]; }
  uint64_t region() const { return Load<uint64_t>(at + 16); }
  uint64_t term() const { return Load<uint64_t>(at + 24); }
  uint64_t index() const { return Load<uint64_t>(at + 32); }
  const uint8_t* payload() const { return at + kRecordHeaderBytes; }
  /** On disk, padding included. */
  uint64_t bytes() const { return AlignUp(kRecordHeaderBytes + payloadBytes(), kAlign); }
  uint32_t ComputeCrc(uint32_t seed) const { return Crc32c(at + 4, kRecordHeaderBytes - 4 + payloadBytes(), seed); }

  static void Close(uint8_t* at, const Seal& seal) {
    Store<uint32_t>(at + 8, seal.stamp);
    Store<uint32_t>(at, Record{at}.ComputeCrc(seal.crcSeed));
  }
  /** Does a whole record of a known kind lie within `room` bytes? Says nothing about its crc. */
  bool Fits(uint64_t room) const {
    return room >= kRecordHeaderBytes && bytes() <= room && kind() >= kEntry && kind() <= kRemove;
  }
  /** Of a record that fits: does it say something that the log can have been asked to keep? */
  bool Plausible() const {
    if (region() > kNumberMax || term() > kNumberMax || index() > kNumberMax) return false;
    return kind() != kHardState || (payloadBytes() == 8 && Load<uint64_t>(payload()) <= kNumberMax);
  }
  bool Intact(const Seal& seal) const {
    return stamp() == seal.stamp && crc() == ComputeCrc(seal.crcSeed) && Plausible();
  }
};

}  // namespace karst
