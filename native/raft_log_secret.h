// The secret of one log: what makes its groups and records unlike anything that a client can send.
#pragma once
#include <string>

#include "errors.h"
#include "raft_log_format.h"

namespace karst {

class LogSecret {
 public:
  /** Reads it from the folder. @param found false: there is none, which is no failure */
  Failure Load(const std::string& dir, bool* found);
  /** Draws one and makes it durable. Segments before `firstKeyed` are of format 1. */
  Failure Create(const std::string& dir, uint32_t firstKeyed);

  /** Before Load or Create every segment is taken for one of format 1. */
  Seal Of(uint32_t segment) const { return segment < firstKeyed_ ? Seal::Plain(segment) : Seal::Keyed(key_, segment); }
  uint32_t firstKeyed() const { return firstKeyed_; }

 private:
  SipKey key_;
  uint32_t firstKeyed_ = UINT32_MAX;
};

}  // namespace karst
