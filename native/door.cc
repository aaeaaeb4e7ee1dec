#include "door.h"

#include <algorithm>
#include <cstring>

namespace karst {
namespace {

constexpr uint64_t kTickMs = 500;
/** So many over the limit are told so; the others are just closed. */
constexpr size_t kFarewellsMax = 32;
/** More connections than others may an address have that a peer has. */
constexpr size_t kPeersOfAddress = 64;

std::string AddressOf(const uv_tcp_t* tcp) {
  sockaddr_storage storage{};
  int length = sizeof storage;
  char text[64] = "?";
  if (uv_tcp_getpeername(tcp, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return text;
  if (storage.ss_family == AF_INET6) uv_ip6_name(reinterpret_cast<sockaddr_in6*>(&storage), text, sizeof text);
  else uv_ip4_name(reinterpret_cast<sockaddr_in*>(&storage), text, sizeof text);
  std::string address(text);
  return address.rfind("::ffff:", 0) == 0 ? address.substr(7) : address;
}

}  // namespace

// ---- the door

Door::Door(napi_env env, const DoorLimits& limits) : env_(env), limits_(limits) { napi_get_uv_event_loop(env, &loop_); }

bool Door::Listen(const std::string& host, int port, std::string* why) {
  sockaddr_storage address{};
  int error = uv_ip4_addr(host.c_str(), port, reinterpret_cast<sockaddr_in*>(&address));
  if (error != 0) error = uv_ip6_addr(host.c_str(), port, reinterpret_cast<sockaddr_in6*>(&address));
  uv_tcp_init(loop_, &listener_);
  listener_.data = this;
  uv_timer_init(loop_, &timer_);
  timer_.data = this;
  handles_ = 2;
  if (error == 0) error = uv_tcp_bind(&listener_, reinterpret_cast<sockaddr*>(&address), 0);
  if (error == 0) {
    error = uv_listen(reinterpret_cast<uv_stream_t*>(&listener_), 1024,
        [](uv_stream_t* stream, int status) { if (status == 0) static_cast<Door*>(stream->data)->OnConnection(); });
  }
  if (error != 0) {
    *why = uv_strerror(error);
    Close();
    return false;
  }
  uv_timer_start(&timer_, [](uv_timer_t* timer) { static_cast<Door*>(timer->data)->Tick(); }, kTickMs, kTickMs);
  uv_unref(reinterpret_cast<uv_handle_t*>(&timer_));
  return true;
}

void Door::OnConnection() {
  auto* connection = new DoorConnection(this, nextId_++);
  handles_++;
  connections_[connection->id()] = connection;
  if (uv_accept(reinterpret_cast<uv_stream_t*>(&listener_), reinterpret_cast<uv_stream_t*>(connection->tcp())) != 0) {
    return connection->Close("");
  }
  connection->address = AddressOf(connection->tcp());
  const size_t fromThere = ++perAddress_[connection->address];
  connection->Start();
  // A share is kept for peers. Who is one is known only once it is in, so it goes by addresses that a peer has, and to few of each.
  const bool isPeersAddress = peers_.count(connection->address) > 0;
  const size_t reserved = isPeersAddress ? 0 : std::min(limits_.connectionsReserved, limits_.connectionsMax);
  if (connections_.size() > limits_.connectionsMax + kFarewellsMax) {
    refusedAll++;
    connection->Close("");
  } else if (connections_.size() > limits_.connectionsMax - reserved) {
    refusedAll++;
    connection->Refuse("503 Service Unavailable", "too many connections; come again");
  } else if (fromThere > limits_.connectionsPerAddressMax + (isPeersAddress ? kPeersOfAddress : 0)) {
    refusedAddress++;
    connection->Refuse("503 Service Unavailable", "too many connections of this address; come again");
  }
}

DoorConnection* Door::Find(uint32_t id) const {
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second;
}

void Door::Admit(DoorConnection* connection, bool isPeer) {
  if (isPeer && !connection->isPeer()) {
    peers_[connection->address]++;
    LeaveAddress(connection->address);
  }
  connection->Admit(isPeer);
}

void Door::LeaveAddress(const std::string& address) {
  const auto found = perAddress_.find(address);
  if (found != perAddress_.end() && --found->second == 0) perAddress_.erase(found);
}

void Door::Forget(DoorConnection* connection) {
  connections_.erase(connection->id());
  if (!connection->isPeer()) return LeaveAddress(connection->address);
  const auto peer = peers_.find(connection->address);
  if (peer != peers_.end() && --peer->second == 0) peers_.erase(peer);
}

void Door::EndLargest() {
  DoorConnection* largest = nullptr;
  for (const auto& entry : connections_) {
    DoorConnection* one = entry.second;
    if (largest == nullptr || (largest->isPeer() && !one->isPeer()) ||
        (largest->isPeer() == one->isPeer() && one->unfinishedBytes() > largest->unfinishedBytes())) {
      largest = one;
    }
  }
  if (largest != nullptr) largest->Fail(1013, "too many messages are not finished; come again");
}

void Door::Tick() {
  Calls calls(this);
  const uint64_t now = Now();
  std::vector<DoorConnection*> all;
  all.reserve(connections_.size());
  for (const auto& entry : connections_) all.push_back(entry.second);
  // Closing takes one out of the map; its memory goes later, with its handle.
  for (DoorConnection* one : all) one->Tick(now);
}

void Door::Close() {
  if (closing_) return;
  closing_ = true;
  std::vector<DoorConnection*> all;
  for (const auto& entry : connections_) all.push_back(entry.second);
  for (DoorConnection* one : all) one->Close("");
  const auto closed = [](uv_handle_t* handle) { static_cast<Door*>(handle->data)->OnHandleClosed(); };
  uv_close(reinterpret_cast<uv_handle_t*>(&listener_), closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&timer_), closed);
}

void Door::OnHandleClosed() {
  if (--handles_ > 0 || !closing_) return;
  if (onClosed) onClosed();
}

// ---- into JS: onEvent(kind, id, a, b)

Door::Calls::Calls(Door* door) : door_(door) {
  if (door_->calls_++ > 0) return;
  napi_open_handle_scope(door_->env_, &door_->handleScope_);
  napi_value resource = nullptr;
  napi_create_object(door_->env_, &resource);
  napi_open_callback_scope(door_->env_, resource, door_->context, &door_->callbackScope_);
}

Door::Calls::~Calls() {
  if (--door_->calls_ > 0) return;
  if (door_->callbackScope_ != nullptr) napi_close_callback_scope(door_->env_, door_->callbackScope_);
  napi_close_handle_scope(door_->env_, door_->handleScope_);
  door_->callbackScope_ = nullptr;
}

napi_value Door::Emit(const char* kind, const DoorConnection* connection, napi_value first, napi_value second) {
  if (closing_) return nullptr;
  napi_value arguments[4] = {nullptr, Number(env_, connection == nullptr ? 0 : connection->id()), first, second};
  napi_create_int32(env_, kind[0], &arguments[0]);
  for (auto& argument : arguments) if (argument == nullptr) napi_get_undefined(env_, &argument);
  napi_value callback = nullptr, receiver = nullptr, result = nullptr;
  napi_get_reference_value(env_, onEvent, &callback);
  napi_get_undefined(env_, &receiver);
  if (napi_call_function(env_, receiver, callback, 4, arguments, &result) == napi_ok) return result;
  napi_value error = nullptr;
  if (napi_get_and_clear_last_exception(env_, &error) == napi_ok && error != nullptr) napi_fatal_exception(env_, error);
  return nullptr;
}

napi_value Door::Text(const std::string& text) const {
  napi_value value = nullptr;
  napi_create_string_utf8(env_, text.data(), text.size(), &value);
  return value;
}

std::string Door::AcceptKey(const std::string& key) {
  napi_value answer = Emit("key", nullptr, Text(key), nullptr);
  char text[64];
  size_t length = 0;
  if (answer == nullptr || napi_get_value_string_utf8(env_, answer, text, sizeof text, &length) != napi_ok) return {};
  return std::string(text, length);
}

void Door::OnOpen(DoorConnection* connection) { Emit("open", connection, Text(connection->address), nullptr); }

/** In the arena: where; elsewhere: a copy. */
void Door::OnMessage(DoorConnection* connection, uint8_t* bytes, size_t size) {
  napi_handle_scope scope = nullptr;
  napi_open_handle_scope(env_, &scope);
  if (bytes >= arena_ && bytes <= arena_ + arenaBytes_) {
    Emit("message", connection, Number(env_, static_cast<double>(bytes - arena_)), Number(env_, static_cast<double>(size)));
  } else {
    Emit("whole", connection, Bytes(env_, bytes, size), nullptr);
  }
  napi_close_handle_scope(env_, scope);
}

void Door::OnDrain(DoorConnection* connection) { Emit("drain", connection, nullptr, nullptr); }
void Door::OnGone(DoorConnection* connection, const std::string& reason) { Emit("gone", connection, Text(reason), nullptr); }

}  // namespace karst
