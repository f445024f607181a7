# Rooms of libwkim: name, layer, rooms it may include.  Read by the Makefile and by test/tidy.
# A room includes only rooms listed here for it (all of a lower layer) and its own headers.
ROOMS := base crypto raft log shard proto store event session cluster im hook node

LAYER_base    := 0
LAYER_crypto  := 1
LAYER_raft    := 1
LAYER_log     := 1
LAYER_shard   := 1
LAYER_proto   := 2
LAYER_store   := 2
LAYER_event   := 2
LAYER_session := 3
LAYER_cluster := 3
LAYER_im      := 4
LAYER_hook    := 4
LAYER_node    := 5

USES_base    :=
USES_crypto  := base
USES_raft    := base
USES_log     := base
USES_shard   := base
USES_proto   := base
USES_store   := base
USES_event   := base shard
USES_session := base crypto proto
USES_cluster := base shard raft log proto store
USES_im      := base shard proto store cluster
USES_hook    := base shard proto store
USES_node    := base crypto raft log shard proto store event session cluster im hook

# Third-party headers a room may include, beside libc and pthread (shell patterns).
# Intrinsics stand behind a run-time check of the processor.
THIRD_base   := nmmintrin.h
THIRD_crypto := openssl/* immintrin.h
THIRD_proto  := jansson.h
THIRD_hook   := jansson.h zlib.h
THIRD_store  := rocksdb/c.h
THIRD_event  := event2/*
