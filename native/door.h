// WebSocket server connections over libuv (RFC 6455, server side, binary messages, no extensions), with what a server
// among strangers needs: reading that can be paused, memory that grows with what came, limits and deadlines for everything
// that is not finished, and an end that says why. JS thread only.
#pragma once
#include <node_api.h>
#include <uv.h>

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "args.h"

namespace karst {

struct DoorLimits {
  size_t messageBytesMax;
  /** A message before Hello. */
  size_t helloBytesMax;
  /** Messages that are not finished, of all connections. */
  size_t unfinishedBytesMax;
  uint64_t unfinishedMsMax;
  /** From the connection to the end of its upgrade request. */
  uint64_t upgradeMsMax;
  uint64_t silentMsMax;
  size_t connectionsMax;
  /** Of those, kept for peers and for this machine. */
  size_t connectionsReserved;
  size_t connectionsPerAddressMax;
};

class Door;

class DoorConnection {
 public:
  DoorConnection(Door* door, uint32_t id);
  void Start();
  void Send(const uint8_t* bytes, size_t size);
  void Pause(bool paused);
  void Admit(bool isPeer) { admitted_ = isPeer ? Admitted::peer : Admitted::client; }
  /** With a close frame; what is queued is sent first, for a while. */
  void End(int code, const std::string& reason);
  /** The same, and JS is told. */
  void Fail(int code, const std::string& reason);
  void Refuse(const char* status, const char* reason);
  /** At once. */
  void Close(const std::string& reason);
  void Tick(uint64_t now);

  uint32_t id() const { return id_; }
  uv_tcp_t* tcp() { return &tcp_; }
  size_t Buffered() const;
  size_t unfinishedBytes() const { return message_.size(); }
  bool isPeer() const { return admitted_ == Admitted::peer; }
  std::string address;

 private:
  enum class State { upgrading, open, leaving, closed };
  enum class Admitted { no, client, peer };

  void Read();
  void OnBytes(uint8_t* bytes, size_t size);
  bool Upgrade();
  void Frames(uint8_t* bytes, size_t size);
  size_t Header(const uint8_t* bytes, size_t size);
  size_t HeaderWants() const;
  size_t MessageBytesMax() const;
  std::string TooLarge() const;
  bool Payload(uint8_t* bytes, size_t part);
  void Keep(const uint8_t* bytes, size_t part);
  bool Control();
  void Frame(uint8_t opcode, const uint8_t* bytes, size_t size);
  void Put(const uint8_t* header, size_t headerBytes, const uint8_t* bytes, size_t size);
  void OnWritten(int status);
  void OnEnd(const std::string& reason);
  void Leave();
  void Shut();
  void DropMessage();

  Door* door_;
  uint32_t id_;
  uv_tcp_t tcp_;
  uv_shutdown_t shutdown_;
  State state_ = State::upgrading;
  Admitted admitted_ = Admitted::no;
  uint64_t since_, heardAt_, messageSince_ = 0, leaveAt_ = 0;
  bool paused_ = false, pinged_ = false, shutting_ = false;
  bool inFrame_ = false, inMessage_ = false, isFinal_ = false;
  uint8_t header_[14], mask_[4], control_[125];
  size_t headerBytes_ = 0, controlBytes_ = 0, phase_ = 0;
  uint8_t opcode_ = 0;
  uint64_t left_ = 0;
  std::string head_;
  std::vector<uint8_t> message_;
};

class Door {
 public:
  Door(napi_env env, const DoorLimits& limits);
  bool Listen(const std::string& host, int port, std::string* why);
  /** Everything ends at once; onClosed comes in a later turn. */
  void Close();
  DoorConnection* Find(uint32_t id) const;
  void Admit(DoorConnection* connection, bool isPeer);
  void Forget(DoorConnection* connection);
  /** Messages that are not finished take too much: the largest goes, a peer's last. */
  void EndLargest();
  void OnHandleClosed();

  std::string AcceptKey(const std::string& key);
  void OnOpen(DoorConnection* connection);
  void OnMessage(DoorConnection* connection, uint8_t* bytes, size_t size);
  void OnDrain(DoorConnection* connection);
  void OnGone(DoorConnection* connection, const std::string& reason);

  /** JS may be called between its construction and its end. */
  class Calls {
   public:
    explicit Calls(Door* door);
    ~Calls();

   private:
    Door* door_;
  };

  const DoorLimits& limits() const { return limits_; }
  uv_loop_t* loop() const { return loop_; }
  uint64_t Now() const { return uv_now(loop_); }
  void BindArena(uint8_t* bytes, size_t size) { arena_ = bytes; arenaBytes_ = size; }
  uint8_t* arena() const { return arena_; }
  size_t arenaBytes() const { return arenaBytes_; }
  size_t connections() const { return connections_.size(); }

  size_t unfinishedBytes = 0;
  uint64_t refusedAll = 0, refusedAddress = 0, failures = 0;
  napi_ref onEvent = nullptr, arenaRef = nullptr;
  napi_async_context context = nullptr;
  std::function<void()> onClosed;

 private:
  void OnConnection();
  void LeaveAddress(const std::string& address);
  void Tick();
  napi_value Emit(const char* kind, const DoorConnection* connection, napi_value first, napi_value second);
  napi_value Text(const std::string& text) const;

  napi_env env_;
  DoorLimits limits_;
  uv_loop_t* loop_ = nullptr;
  uv_tcp_t listener_;
  uv_timer_t timer_;
  bool closing_ = false;
  size_t handles_ = 0;
  int calls_ = 0;
  napi_handle_scope handleScope_ = nullptr;
  napi_callback_scope callbackScope_ = nullptr;
  uint8_t* arena_ = nullptr;
  size_t arenaBytes_ = 0;
  uint32_t nextId_ = 1;
  std::unordered_map<uint32_t, DoorConnection*> connections_;
  std::unordered_map<std::string, size_t> perAddress_, peers_;
};

}  // namespace karst
