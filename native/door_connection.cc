#include "door.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace karst {
namespace {

constexpr size_t kHeadBytesMax = 8 << 10;
constexpr size_t kControlBytesMax = 125;
/** A connection that says goodbye has this long to take it. */
constexpr uint64_t kLingerMs = 2000;
constexpr uint64_t kPingMs = 30000;

enum Opcode : uint8_t { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

struct Write {
  uv_write_t request;
  DoorConnection* connection;
  size_t size;
  uint8_t bytes[1];
};

/** The value of a header, or empty. Names are compared without case. */
std::string HeaderOf(const std::string& head, const char* name) {
  const size_t length = std::strlen(name);
  for (size_t at = head.find("\r\n"); at != std::string::npos; at = head.find("\r\n", at + 2)) {
    const size_t from = at + 2;
    if (from + length >= head.size() || head[from + length] != ':') continue;
    if (strncasecmp(head.c_str() + from, name, length) != 0) continue;
    size_t begin = from + length + 1;
    size_t end = head.find("\r\n", begin);
    if (end == std::string::npos) end = head.size();
    while (begin < end && (head[begin] == ' ' || head[begin] == '\t')) begin++;
    while (end > begin && (head[end - 1] == ' ' || head[end - 1] == '\t')) end--;
    return head.substr(begin, end - begin);
  }
  return {};
}

size_t WriteHeader(uint8_t* to, uint8_t opcode, size_t size) {
  to[0] = 0x80 | opcode;
  if (size < 126) {
    to[1] = static_cast<uint8_t>(size);
    return 2;
  }
  if (size < 65536) {
    to[1] = 126;
    to[2] = static_cast<uint8_t>(size >> 8);
    to[3] = static_cast<uint8_t>(size);
    return 4;
  }
  to[1] = 127;
  for (int i = 0; i < 8; i++) to[2 + i] = static_cast<uint8_t>(static_cast<uint64_t>(size) >> (56 - 8 * i));
  return 10;
}

void Unmask(uint8_t* bytes, size_t size, const uint8_t* mask, size_t phase) {
  if ((mask[0] | mask[1] | mask[2] | mask[3]) == 0) return;
  for (size_t i = 0; i < size; i++) bytes[i] ^= mask[(phase + i) & 3];
}

}  // namespace

// ---- one connection

DoorConnection::DoorConnection(Door* door, uint32_t id) : door_(door), id_(id), since_(door->Now()), heardAt_(since_) {
  uv_tcp_init(door->loop(), &tcp_);
  tcp_.data = this;
}

void DoorConnection::Start() {
  uv_tcp_nodelay(&tcp_, 1);
  Read();
}

void DoorConnection::Read() {
  uv_read_start(reinterpret_cast<uv_stream_t*>(&tcp_),
      [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
        Door* door = static_cast<DoorConnection*>(handle->data)->door_;
        *buffer = uv_buf_init(reinterpret_cast<char*>(door->arena()), static_cast<unsigned>(door->arenaBytes()));
      },
      [](uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
        auto* self = static_cast<DoorConnection*>(stream->data);
        if (count < 0) self->OnEnd(count == UV_EOF ? "closed by the other side" : uv_strerror(static_cast<int>(count)));
        else if (count > 0) self->OnBytes(reinterpret_cast<uint8_t*>(buffer->base), static_cast<size_t>(count));
      });
}

void DoorConnection::Pause(bool paused) {
  if (state_ != State::open || paused == paused_) return;
  paused_ = paused;
  if (paused) uv_read_stop(reinterpret_cast<uv_stream_t*>(&tcp_));
  else Read();
}

size_t DoorConnection::Buffered() const { return uv_stream_get_write_queue_size(reinterpret_cast<const uv_stream_t*>(&tcp_)); }

void DoorConnection::OnBytes(uint8_t* bytes, size_t size) {
  heardAt_ = door_->Now();
  pinged_ = false;
  if (state_ == State::leaving || state_ == State::closed) return;  // read so that our farewell is not reset, and dropped
  Door::Calls calls(door_);
  if (state_ == State::upgrading) {
    const size_t before = head_.size();
    head_.append(reinterpret_cast<char*>(bytes), std::min(size, kHeadBytesMax - std::min(before, kHeadBytesMax)));
    const size_t end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
    if (end == std::string::npos) {
      if (head_.size() >= kHeadBytesMax) Refuse("431 Request Header Fields Too Large", "the request is too long");
      return;
    }
    const size_t used = end + 4 - before;
    head_.resize(end);
    if (!Upgrade()) return;
    bytes += used;
    size -= used;
  }
  Frames(bytes, size);
}

bool DoorConnection::Upgrade() {
  const std::string key = HeaderOf(head_, "sec-websocket-key");
  const bool isGet = head_.rfind("GET ", 0) == 0;
  if (!isGet || strcasecmp(HeaderOf(head_, "upgrade").c_str(), "websocket") != 0 || key.empty() || key.size() > 64) {
    Refuse("426 Upgrade Required", "this port speaks karst over WebSocket");
    return false;
  }
  if (HeaderOf(head_, "sec-websocket-version") != "13") {
    Refuse("426 Upgrade Required", "WebSocket version 13 is spoken here");
    return false;
  }
  std::string().swap(head_);
  const std::string accept = door_->AcceptKey(key);
  if (accept.empty() || state_ != State::upgrading) return false;
  const std::string answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
                             accept + "\r\n\r\n";
  Put(nullptr, 0, reinterpret_cast<const uint8_t*>(answer.data()), answer.size());
  state_ = State::open;
  door_->OnOpen(this);
  return state_ == State::open;
}

/** Plain HTTP for who speaks plain HTTP. */
void DoorConnection::Refuse(const char* status, const char* reason) {
  const std::string text = std::string(reason) + "\n";
  const std::string answer = std::string("HTTP/1.1 ") + status + "\r\nConnection: close\r\nContent-Type: text/plain\r\n" +
                             "Sec-WebSocket-Version: 13\r\nRetry-After: 1\r\nContent-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
  Put(nullptr, 0, reinterpret_cast<const uint8_t*>(answer.data()), answer.size());
  Leave();
}

void DoorConnection::Frames(uint8_t* bytes, size_t size) {
  while (size > 0 && state_ == State::open) {
    if (left_ == 0 && !inFrame_) {
      const size_t used = Header(bytes, size);
      bytes += used;
      size -= used;
      if (!inFrame_ || state_ != State::open) continue;
      // A frame without a payload ends where its header does.
      if (left_ > 0) continue;
      if (!Payload(bytes, 0)) return;
      continue;
    }
    const size_t part = static_cast<size_t>(std::min<uint64_t>(size, left_));
    if (!Payload(bytes, part)) return;
    bytes += part;
    size -= part;
  }
}

/** Gathers a header, however it is cut. @returns bytes taken */
size_t DoorConnection::Header(const uint8_t* bytes, size_t size) {
  size_t used = 0;
  for (;;) {
    const size_t want = headerBytes_ < 2 ? 2 : HeaderWants();
    while (headerBytes_ < want && used < size) header_[headerBytes_++] = bytes[used++];
    if (headerBytes_ < want) return used;
    if (headerBytes_ >= 2 && want == HeaderWants()) break;
  }
  const uint8_t opcode = header_[0] & 0x0f;
  const bool isControl = (opcode & 8) != 0;
  if ((header_[0] & 0x70) != 0) return Fail(1002, "reserved bits are set"), used;
  if ((header_[1] & 0x80) == 0) return Fail(1002, "frames of a client must be masked"), used;
  const uint8_t small = header_[1] & 0x7f;
  uint64_t length = small;
  const int wide = small == 126 ? 2 : small == 127 ? 8 : 0;
  if (wide > 0) {
    length = 0;
    for (int i = 0; i < wide; i++) length = length << 8 | header_[2 + i];
  }
  if (isControl && (length > kControlBytesMax || (header_[0] & 0x80) == 0)) return Fail(1002, "a control frame is short and whole"), used;
  if (opcode == kText) return Fail(1003, "binary messages only"), used;
  if (opcode != kBinary && opcode != kContinuation && !(isControl && opcode <= kPong)) return Fail(1002, "unknown opcode"), used;
  if (opcode == kContinuation && !inMessage_) return Fail(1002, "a continuation of nothing"), used;
  if (opcode == kBinary && inMessage_) return Fail(1002, "a message inside a message"), used;
  if (!isControl && length > door_->limits().messageBytesMax) return Fail(1009, TooLarge()), used;
  if (!isControl && length + message_.size() > MessageBytesMax()) return Fail(1009, TooLarge()), used;
  std::memcpy(mask_, header_ + headerBytes_ - 4, 4);
  opcode_ = opcode;
  isFinal_ = (header_[0] & 0x80) != 0;
  left_ = length;
  phase_ = 0;
  inFrame_ = true;
  headerBytes_ = 0;
  if (opcode == kBinary) {
    inMessage_ = true;
    messageSince_ = door_->Now();
  }
  return used;
}

size_t DoorConnection::HeaderWants() const {
  const uint8_t small = header_[1] & 0x7f;
  const size_t mask = (header_[1] & 0x80) != 0 ? 4 : 0;
  return 2 + (small == 126 ? 2 : small == 127 ? 8 : 0) + mask;
}

size_t DoorConnection::MessageBytesMax() const {
  return admitted_ == Admitted::no ? door_->limits().helloBytesMax : door_->limits().messageBytesMax;
}

std::string DoorConnection::TooLarge() const {
  return "a message has at most " + std::to_string(MessageBytesMax()) + " bytes" + (admitted_ == Admitted::no ? " before Hello" : "");
}

/** @returns whether there is more to be done for this connection */
bool DoorConnection::Payload(uint8_t* bytes, size_t part) {
  Unmask(bytes, part, mask_, phase_);
  phase_ += part;
  left_ -= part;
  if ((opcode_ & 8) != 0) {
    std::memcpy(control_ + controlBytes_, bytes, part);
    controlBytes_ += part;
    if (left_ > 0) return true;
    inFrame_ = false;
    return Control();
  }
  const bool isWhole = left_ == 0 && isFinal_;
  if (left_ == 0) inFrame_ = false;
  if (!isWhole) {
    Keep(bytes, part);
    return state_ == State::open;
  }
  inMessage_ = false;
  if (message_.empty()) {
    door_->OnMessage(this, bytes, part);
    return state_ == State::open;
  }
  Keep(bytes, part);
  if (state_ != State::open) return false;
  std::vector<uint8_t> whole;
  whole.swap(message_);
  door_->unfinishedBytes -= whole.size();
  door_->OnMessage(this, whole.data(), whole.size());
  return state_ == State::open;
}

/** Part of a message that goes on. Memory grows with what has come, not with what was announced. */
void DoorConnection::Keep(const uint8_t* bytes, size_t part) {
  message_.insert(message_.end(), bytes, bytes + part);
  door_->unfinishedBytes += part;
  if (door_->unfinishedBytes > door_->limits().unfinishedBytesMax) door_->EndLargest();
}

bool DoorConnection::Control() {
  const size_t size = controlBytes_;
  controlBytes_ = 0;
  // Pongs that are not read are not piled up.
  if (opcode_ == kPing && Buffered() < kHeadBytesMax) Frame(kPong, control_, size);
  if (opcode_ != kClose) return state_ == State::open;
  const int code = size >= 2 ? control_[0] << 8 | control_[1] : 1005;
  std::string reason(reinterpret_cast<char*>(control_) + std::min<size_t>(size, 2), size < 2 ? 0 : size - 2);
  if (reason.empty()) reason = "closed with code " + std::to_string(code);
  Frame(kClose, control_, size >= 2 ? 2 : 0);
  Leave();
  door_->OnGone(this, reason);
  return false;
}

void DoorConnection::Frame(uint8_t opcode, const uint8_t* bytes, size_t size) {
  uint8_t header[10];
  Put(header, WriteHeader(header, opcode, size), bytes, size);
}

/** What the kernel does not take at once is copied. */
void DoorConnection::Put(const uint8_t* header, size_t headerBytes, const uint8_t* bytes, size_t size) {
  if (state_ == State::closed || shutting_) return;
  auto* stream = reinterpret_cast<uv_stream_t*>(&tcp_);
  uv_buf_t parts[2] = {uv_buf_init(reinterpret_cast<char*>(const_cast<uint8_t*>(header)), static_cast<unsigned>(headerBytes)),
                       uv_buf_init(reinterpret_cast<char*>(const_cast<uint8_t*>(bytes)), static_cast<unsigned>(size))};
  const bool hasHeader = headerBytes > 0;
  const int tried = uv_try_write(stream, hasHeader ? parts : parts + 1, size == 0 || !hasHeader ? 1 : 2);
  size_t done = tried > 0 ? static_cast<size_t>(tried) : 0;
  const size_t rest = headerBytes + size - done;
  if (rest == 0) return;
  auto* write = static_cast<Write*>(std::malloc(sizeof(Write) + rest));
  if (write == nullptr) return Close("out of memory");
  write->connection = this;
  write->size = rest;
  uint8_t* to = write->bytes;
  if (done < headerBytes) {
    std::memcpy(to, header + done, headerBytes - done);
    to += headerBytes - done;
    done = headerBytes;
  }
  std::memcpy(to, bytes + (done - headerBytes), size - (done - headerBytes));
  const uv_buf_t whole = uv_buf_init(reinterpret_cast<char*>(write->bytes), static_cast<unsigned>(rest));
  const int error = uv_write(&write->request, stream, &whole, 1, [](uv_write_t* request, int status) {
    auto* done = reinterpret_cast<Write*>(request);
    DoorConnection* self = done->connection;
    std::free(done);
    self->OnWritten(status);
  });
  if (error != 0) std::free(write);
}

void DoorConnection::OnWritten(int status) {
  if (state_ == State::closed) return;
  if (status < 0) return OnEnd(uv_strerror(status));
  if (state_ == State::leaving) {
    if (Buffered() == 0) Shut();
    return;
  }
  if (state_ == State::open) {
    Door::Calls calls(door_);
    door_->OnDrain(this);
  }
}

void DoorConnection::Send(const uint8_t* bytes, size_t size) {
  if (state_ == State::open) Frame(kBinary, bytes, size);
}

/** Says why, lets it be read for a moment, and goes. */
void DoorConnection::End(int code, const std::string& reason) {
  if (state_ != State::open) return;
  uint8_t payload[kControlBytesMax];
  payload[0] = static_cast<uint8_t>(code >> 8);
  payload[1] = static_cast<uint8_t>(code);
  const size_t size = std::min(reason.size(), kControlBytesMax - 2);
  std::memcpy(payload + 2, reason.data(), size);
  Frame(kClose, payload, size + 2);
  Leave();
}

void DoorConnection::Fail(int code, const std::string& reason) {
  if (state_ == State::open) door_->failures++;
  End(code, reason);
  door_->OnGone(this, reason);
}

void DoorConnection::Leave() {
  if (state_ == State::leaving || state_ == State::closed) return;
  state_ = State::leaving;
  leaveAt_ = door_->Now();
  DropMessage();
  if (paused_) Read();
  if (Buffered() == 0) Shut();
}

void DoorConnection::Shut() {
  if (shutting_) return;
  shutting_ = true;
  shutdown_.data = this;
  if (uv_shutdown(&shutdown_, reinterpret_cast<uv_stream_t*>(&tcp_), [](uv_shutdown_t*, int) {}) != 0) Close("");
}

void DoorConnection::DropMessage() {
  door_->unfinishedBytes -= message_.size();
  std::vector<uint8_t>().swap(message_);
}

void DoorConnection::OnEnd(const std::string& reason) {
  const bool wasOpen = state_ == State::open;
  Close(reason);
  if (!wasOpen) return;
  Door::Calls calls(door_);
  door_->OnGone(this, reason);
}

void DoorConnection::Close(const std::string&) {
  if (state_ == State::closed) return;
  DropMessage();
  state_ = State::closed;
  door_->Forget(this);
  uv_close(reinterpret_cast<uv_handle_t*>(&tcp_), [](uv_handle_t* handle) {
    auto* self = static_cast<DoorConnection*>(handle->data);
    Door* door = self->door_;
    delete self;
    door->OnHandleClosed();
  });
}

void DoorConnection::Tick(uint64_t now) {
  const DoorLimits& limits = door_->limits();
  if (state_ == State::leaving && now - leaveAt_ > kLingerMs) return Close("");
  if (state_ == State::upgrading && now - since_ > limits.upgradeMsMax) return Refuse("408 Request Timeout", "no WebSocket upgrade in time");
  if (state_ != State::open || paused_) return;
  if (inMessage_ && now - messageSince_ > limits.unfinishedMsMax) return Fail(1008, "a message was not finished in time");
  if (now - heardAt_ > limits.silentMsMax) return Fail(1001, "silent: pings are not answered");
  if (now - heardAt_ > kPingMs && !pinged_) {
    pinged_ = true;
    Frame(kPing, nullptr, 0);
  }
}

}  // namespace karst
