# Rooms of libwkim: name, layer, rooms it may include.  Read by the Makefile and by test/tidy.
# A name with a slash is a part of the room before it: it may also include that room's internal.h.
# A room includes only rooms listed here for it (all of a lower layer) and its own headers.
ROOMS := base crypto raft log shard proto store event session cluster config \
	im im/channel im/user im/conversation im/command im/message im/event im/history im/machine hook node node/conn node/api

LAYER_base    := 0
LAYER_crypto  := 1
LAYER_raft    := 1
LAYER_log     := 1
LAYER_shard   := 1
LAYER_config  := 1
LAYER_proto   := 2
LAYER_store   := 2
LAYER_event   := 2
LAYER_session := 3
LAYER_cluster := 3
LAYER_im      := 4
LAYER_hook    := 4
LAYER_im/channel      := 5
LAYER_im/conversation := 6
LAYER_im/user         := 6
LAYER_im/command      := 7
LAYER_im/message      := 8
LAYER_im/event        := 9
LAYER_im/history      := 10
LAYER_im/machine      := 11
LAYER_node    := 12
LAYER_node/conn := 13
LAYER_node/api  := 13

USES_base    :=
USES_crypto  := base
USES_raft    := base
USES_log     := base
USES_shard   := base
USES_config  := base
USES_proto   := base
USES_store   := base
USES_event   := base shard
USES_session := base crypto proto
USES_cluster := base shard raft log proto store
USES_im      := base shard proto store cluster
USES_im/channel      := base shard proto store cluster im
USES_im/conversation := base shard proto store cluster im im/channel
USES_im/user         := base shard proto store cluster im im/channel
USES_im/command      := base shard proto store cluster im im/channel im/conversation
USES_im/message      := base shard proto store cluster im im/channel im/user im/command
USES_im/event        := base shard proto store cluster im im/channel im/message
USES_im/history      := base shard proto store cluster im im/channel im/event
USES_im/machine      := base shard proto store cluster im im/channel im/user im/conversation im/command im/message \
	im/event im/history
USES_hook    := base shard proto store
USES_node    := base crypto raft log shard proto store event session cluster config im hook
USES_node/conn := base crypto shard proto event session cluster im node
USES_node/api  := base crypto shard proto cluster im im/event node

# Third-party headers a room may include, beside libc and pthread (shell patterns).
# Intrinsics stand behind a run-time check of the processor.
THIRD_base   := nmmintrin.h
THIRD_crypto := openssl/* immintrin.h
THIRD_proto  := jansson.h
THIRD_hook   := jansson.h zlib.h
THIRD_store  := rocksdb/c.h
THIRD_event  := event2/*
