// The door's functions. A handle is an External that outlives the door: after doorClose every call does nothing.
#include "door.h"
#include "modules.h"

namespace karst {
namespace {

struct Handle {
  Door* door = nullptr;
  napi_env env = nullptr;
  napi_async_cleanup_hook_handle hook = nullptr;
};

Door* DoorOf(napi_env env, napi_value value) {
  void* data = nullptr;
  if (value == nullptr || napi_get_value_external(env, value, &data) != napi_ok || data == nullptr) return nullptr;
  return static_cast<Handle*>(data)->door;
}

/** The JS side lets go at once; memory goes when libuv has let go, too. */
void LetGo(Handle* handle) {
  Door* door = handle->door;
  if (door == nullptr) return;
  handle->door = nullptr;
  door->onClosed = [handle, door] {
    napi_env env = handle->env;
    napi_handle_scope scope = nullptr;
    napi_open_handle_scope(env, &scope);
    if (door->onEvent != nullptr) napi_delete_reference(env, door->onEvent);
    if (door->arenaRef != nullptr) napi_delete_reference(env, door->arenaRef);
    if (door->context != nullptr) napi_async_destroy(env, door->context);
    napi_close_handle_scope(env, scope);
    if (handle->hook != nullptr) napi_remove_async_cleanup_hook(handle->hook);
    handle->hook = nullptr;
    delete door;
  };
  door->Close();
}

/**
 * doorOpen(host, port, arena, onEvent, messageBytesMax, helloBytesMax, unfinishedBytesMax, unfinishedMsMax, upgradeMsMax, silentMsMax,
 * connectionsMax, connectionsReserved, connectionsPerAddressMax): listens. host is an IP. Throws with the reason.
 */
napi_value DoorOpen(napi_env env, napi_callback_info info) {
  Args<13> args(env, info);
  const Span arena = args.Bytes(2);
  if (arena.data == nullptr) return Throw(env, Failure::Of(Code::invalid, "doorOpen needs an arena"));
  const DoorLimits limits{args.U64(4), args.U64(5), args.U64(6), args.U64(7), args.U64(8), args.U64(9), args.U64(10), args.U64(11), args.U64(12)};
  auto* door = new Door(env, limits);
  auto* handle = new Handle{door, env, nullptr};
  std::string why;
  napi_value name = nullptr;
  napi_create_string_utf8(env, "karst.door", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, nullptr, name, &door->context);
  napi_create_reference(env, args.Raw(3), 1, &door->onEvent);
  napi_create_reference(env, args.Raw(2), 1, &door->arenaRef);
  door->BindArena(arena.data, arena.size);
  napi_add_async_cleanup_hook(env, [](napi_async_cleanup_hook_handle, void* data) { LetGo(static_cast<Handle*>(data)); }, handle, &handle->hook);
  if (!door->Listen(args.Text(0), args.Int(1), &why)) {
    handle->door = door;
    LetGo(handle);
    return Throw(env, Failure::Of(Code::io, why));
  }
  napi_value result = nullptr;
  // The handle is small, and the hook may want it as late as the environment ends: it is never freed.
  napi_create_external(env, handle, nullptr, nullptr, &result);
  return result;
}

/** doorSend(door, id, bytes): one binary message. @returns bytes that wait for the kernel, or -1 when the connection is gone */
napi_value DoorSend(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  Door* door = DoorOf(env, args.Raw(0));
  DoorConnection* connection = door == nullptr ? nullptr : door->Find(static_cast<uint32_t>(args.U64(1)));
  if (connection == nullptr) return Number(env, -1);
  const Span bytes = args.Bytes(2);
  connection->Send(bytes.data, bytes.size);
  return Number(env, static_cast<double>(connection->Buffered()));
}

/** doorBuffered(door, id) */
napi_value DoorBuffered(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  Door* door = DoorOf(env, args.Raw(0));
  DoorConnection* connection = door == nullptr ? nullptr : door->Find(static_cast<uint32_t>(args.U64(1)));
  return Number(env, connection == nullptr ? 0 : static_cast<double>(connection->Buffered()));
}

/** doorPause(door, id, 1 or 0): nothing is read from its socket meanwhile. */
napi_value DoorPause(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  Door* door = DoorOf(env, args.Raw(0));
  DoorConnection* connection = door == nullptr ? nullptr : door->Find(static_cast<uint32_t>(args.U64(1)));
  if (connection != nullptr) connection->Pause(args.Int(2) != 0);
  return nullptr;
}

/** doorAdmit(door, id, 1 for a peer): it has said Hello and may send messages of the full size. */
napi_value DoorAdmit(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  Door* door = DoorOf(env, args.Raw(0));
  DoorConnection* connection = door == nullptr ? nullptr : door->Find(static_cast<uint32_t>(args.U64(1)));
  if (connection != nullptr) door->Admit(connection, args.Int(2) != 0);
  return nullptr;
}

/** doorEnd(door, id, code, reason): close frame behind what is queued. No event follows. */
napi_value DoorEnd(napi_env env, napi_callback_info info) {
  Args<4> args(env, info);
  Door* door = DoorOf(env, args.Raw(0));
  DoorConnection* connection = door == nullptr ? nullptr : door->Find(static_cast<uint32_t>(args.U64(1)));
  if (connection != nullptr) connection->End(args.Int(2), args.Text(3));
  return nullptr;
}

/** doorFigures(door): [connections, unfinished bytes, refused for all, refused for their address, ended by us] */
napi_value DoorFigures(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  Door* door = DoorOf(env, args.Raw(0));
  napi_value result = nullptr;
  napi_create_array(env, &result);
  if (door == nullptr) return result;
  const double figures[] = {static_cast<double>(door->connections()), static_cast<double>(door->unfinishedBytes),
                            static_cast<double>(door->refusedAll), static_cast<double>(door->refusedAddress),
                            static_cast<double>(door->failures)};
  for (uint32_t i = 0; i < 5; i++) napi_set_element(env, result, i, Number(env, figures[i]));
  return result;
}

/** doorClose(door): everything ends at once, nothing is said. */
napi_value DoorClose(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  void* data = nullptr;
  if (napi_get_value_external(env, args.Raw(0), &data) == napi_ok && data != nullptr) LetGo(static_cast<Handle*>(data));
  return nullptr;
}

}  // namespace

void InitDoor(napi_env env, napi_value exports) {
  Export<DoorOpen>(env, exports, "doorOpen");
  Export<DoorSend>(env, exports, "doorSend");
  Export<DoorBuffered>(env, exports, "doorBuffered");
  Export<DoorPause>(env, exports, "doorPause");
  Export<DoorAdmit>(env, exports, "doorAdmit");
  Export<DoorEnd>(env, exports, "doorEnd");
  Export<DoorFigures>(env, exports, "doorFigures");
  Export<DoorClose>(env, exports, "doorClose");
}

}  // namespace karst
