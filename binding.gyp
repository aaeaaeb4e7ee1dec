{
  "targets": [
    {
      "target_name": "karst",
      "sources": [
        "native/addon.cc",
        "native/apply_thread.cc",
        "native/completion.cc",
        "native/crc32c.cc",
        "native/damage.cc",
        "native/door.cc",
        "native/door_binding.cc",
        "native/door_connection.cc",
        "native/engine.cc",
        "native/engine_binding.cc",
        "native/engine_registry.cc",
        "native/env_state.cc",
        "native/raft_log.cc",
        "native/raft_log_binding.cc",
        "native/raft_log_folder.cc",
        "native/raft_log_gc.cc",
        "native/raft_log_index.cc",
        "native/raft_log_recovery.cc",
        "native/raft_log_secret.cc",
        "native/raft_log_writer.cc",
        "native/range.cc",
        "native/read_pool.cc",
        "native/reads.cc",
        "native/scan.cc",
        "native/snapshot.cc",
        "native/system.cc",
        "native/write_batch.cc"
      ],
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include\")"],
      "defines": [
        "NAPI_VERSION=8",
        "NAPI_DISABLE_CPP_EXCEPTIONS",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
      ],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["-std=c++17", "-O3", "-fexceptions", "-frtti", "-Wall", "-Wextra", "-Wno-unused-parameter"],
      "libraries": ["-lrocksdb", "-lpthread"]
    }
  ]
}
